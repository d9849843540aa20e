"""llmos context: places to call, by name."""

from dataclasses import replace
from pathlib import Path

import click

from llmos_client.cli.completion import complete_context
from llmos_client.cli.options import Group, Settings, pass_settings

_FILES = ("token_file", "tls_ca", "tls_cert", "tls_key")


@click.group("context", cls=Group)
def command() -> None:
    """Name places to call; flags and the environment win over what a context says."""


@command.command("add")
@click.argument("name")
@click.option("--tenant", default="", metavar="NAME", help="For whom calls are made there.")
@click.option("--token-file", default="", metavar="FILE", help="The token to call with.")
@click.option("--use", is_flag=True, help="Use it from now on; the first one is used anyway.")
@pass_settings
def add(settings: Settings, name: str, tenant: str, token_file: str, use: bool) -> None:
    """Add a context, or change it: --address, --token-file, --tls-ca, --tls-cert, --tls-key."""
    from llmos_client import contexts
    from llmos_client.address import parse

    if not contexts.NAME.fullmatch(name):
        raise click.UsageError(f"{name!r}: a context's name has letters, digits, '.', '_' and '-'")
    if settings.token:
        raise click.UsageError("--token: write it to a file of mode 0600, and give --token-file")
    path = contexts.location()
    known = contexts.load(path)
    given = {
        "address": settings.address or "",
        "tenant": tenant,
        "token_file": token_file,
        "tls_ca": settings.tls_ca or "",
        "tls_cert": settings.tls_cert or "",
        "tls_key": settings.tls_key or "",
    }
    # They are read from other folders than this one.
    given |= {key: str(Path(given[key]).expanduser().absolute()) for key in _FILES if given[key]}
    context = replace(
        known.contexts.get(name, contexts.Context()), **{k: v for k, v in given.items() if v}
    )
    if not context.address:
        raise click.UsageError("--address is needed: unix:PATH, HOST:PORT or tls:HOST:PORT")
    parse(context.address, "--address")
    current = name if use or not known.current else known.current
    contexts.save(path, contexts.Contexts(current, {**known.contexts, name: context}))
    click.echo(f"{name}: {context.address}{' (in use)' if current == name else ''}")


@command.command("list")
@pass_settings
def list_(settings: Settings) -> None:
    """List the contexts; the one in use has a star."""
    from llmos_client import contexts
    from llmos_client.cli.output import print_json, print_table

    known = contexts.load(contexts.location())
    if settings.json:
        print_json({"current": known.current, "contexts": known.contexts})
        return
    rows = [
        ("*" if name == known.current else "", name, each.address, each.tenant)
        for name, each in known.contexts.items()
    ]
    print_table(("", "NAME", "ADDRESS", "TENANT"), rows)


@command.command("use")
@click.argument("name", shell_complete=complete_context)
def use(name: str) -> None:
    """Call this place from now on; "-" goes back to the usual sockets."""
    from llmos_client import contexts

    path = contexts.location()
    known = contexts.load(path)
    if name != "-":
        known.get(name)
    contexts.save(path, replace(known, current="" if name == "-" else name))
    click.echo("the usual sockets are used" if name == "-" else f"{name} is used")


@command.command("show")
@click.argument("name", required=False, shell_complete=complete_context)
@pass_settings
def show(settings: Settings, name: str | None) -> None:
    """Show a context, by default the one in use; never a token."""
    from llmos_client import contexts
    from llmos_client.cli.output import print_fields, print_json, to_plain

    known = contexts.load(contexts.location())
    if not name and not known.current:
        raise click.UsageError("no context is in use; see llmos context list")
    chosen = name or known.current
    found = to_plain(known.get(chosen))
    if settings.json:
        print_json({"name": chosen, "context": found})
    else:
        print_fields([("name", chosen), *found.items()])


@command.command("remove")
@click.argument("name", shell_complete=complete_context)
def remove(name: str) -> None:
    """Forget a context; the files that it names stay."""
    from llmos_client import contexts

    path = contexts.location()
    known = contexts.load(path)
    known.get(name)
    rest = {key: each for key, each in known.contexts.items() if key != name}
    contexts.save(path, contexts.Contexts("" if known.current == name else known.current, rest))
    click.echo(f"{name}: removed")
