"""llmos alias: names for versions of a model, and how they moved."""

import click

from llmos_client.cli.options import Group, Settings, model_argument, pass_settings


@click.group("alias", cls=Group)
def command() -> None:
    """List, set and delete aliases: NAME@ALIAS means a version, NAME the one of "live"."""


@command.command("list")
@model_argument()
@pass_settings
def list_(settings: Settings, model: str) -> None:
    """List a model's aliases, and their moves, newest first."""
    from llmos_client.cli.output import print_json, print_table

    with settings.client() as client:
        aliases = dict(client.get_model(model).aliases)
        moves = client.list_promotions(model)
    if settings.json:
        print_json({"aliases": aliases, "promotions": moves})
        return
    print_table(("ALIAS", "VERSION"), [(name, at) for name, at in sorted(aliases.items())])
    if not moves:
        return
    print()
    rows = [
        (
            move.create_time.astimezone().isoformat(timespec="seconds") if move.create_time else "",
            move.alias,
            f"{move.previous.rpartition('/')[2] or 'new'} -> {move.version.rpartition('/')[2]}",
            str(move.cause),
            f"{move.state}{f': {move.rollback_reason}' if move.rollback_reason else ''}",
        )
        for move in moves
    ]
    print_table(("MOVED", "ALIAS", "VERSIONS", "BY", "STATE"), rows)


@command.command("set")
@model_argument("MODEL/versions/N")
@click.argument("name")
@click.option("--expected", default="", metavar="VERSION", help="Only if it points there now.")
@pass_settings
def set_(settings: Settings, model: str, name: str, expected: str) -> None:
    """Point an alias at a version, unchecked; llmos promote loads and checks it first."""
    with settings.client() as client:
        parent = model.partition("/versions/")[0]
        found = client.set_alias(parent, name, model, expected=expected)
    _print(settings, dict(found.aliases), name)


@command.command("delete")
@model_argument()
@click.argument("name")
@pass_settings
def delete(settings: Settings, model: str, name: str) -> None:
    """Remove an alias; the version stays."""
    with settings.client() as client:
        found = client.delete_alias(model, name)
    _print(settings, dict(found.aliases), name)


def _print(settings: Settings, aliases: dict[str, str], name: str) -> None:
    from llmos_client.cli.output import print_json

    if settings.json:
        print_json({"aliases": aliases})
    else:
        print(f"{name}: {aliases.get(name, 'deleted')}")
