"""llmos classify: the labels, or the grades, of texts."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from llmos_client.cli.options import Command, Settings, model_argument, pass_settings

if TYPE_CHECKING:
    from llmos_client.results import Classification


@click.command("classify", cls=Command)
@model_argument()
@click.argument("text", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every label, the most probable one first.")
@pass_settings
def command(settings: Settings, /, model: str, text: tuple[str, ...], every: bool) -> None:
    """Tell which label, or which grade, each TEXT has.

    Without TEXT each line that is piped in is one, but for blank ones. A line of the answer is the
    label, its probability and the text, tabs between them. The model is loaded if it is not.
    """
    from llmos_client.cli.answering import ensure_loaded
    from llmos_client.cli.output import print_json_line, to_plain

    texts = text or _lines()
    with settings.client() as client:
        ensure_loaded(client, model, quiet=settings.json)
        for each in texts:
            found = client.classify(model, each)
            if settings.json:
                print_json_line({"text": each, **to_plain(found)})
            else:
                print(_line(found, each, every=every), flush=True)


def _lines() -> Iterator[str]:
    if sys.stdin.isatty():
        raise click.UsageError("say a TEXT, or pipe lines in")
    return (line for line in map(str.strip, sys.stdin) if line)


def _line(found: "Classification", text: str, *, every: bool) -> str:
    shown = " ".join(text.split())
    if found.grade is not None:
        return f"{found.grade:.3f}\t{shown}"
    labels = found.labels if every else found.labels[:1]
    scores = "\t".join(f"{each.label}\t{each.probability:.3f}" for each in labels)
    return f"{scores}\t{shown}"
