"""llmos embed: texts as vectors, and the rows of a dataset that are near to one."""

import sys
from typing import TYPE_CHECKING

import click

from llmos_client.cli.options import Command, Settings, model_argument, pass_settings

if TYPE_CHECKING:
    from llmos_client.client import Client

_AT_ONCE = 32


@click.command("embed", cls=Command)
@model_argument()
@click.argument("text", nargs=-1)
@click.option(
    "--pooling",
    type=click.Choice(["mean", "last", "first"]),
    help="Of the tokens' hidden states; by default what suits the model's family.",
)
@click.option("--normalize", is_flag=True, help="Make every vector 1 long.")
@click.option("--nearest", metavar="DATASET", help="Show the rows most similar to TEXT instead.")
@click.option(
    "--top", type=click.IntRange(1, 1000), default=10, help="Rows that --nearest shows; 10."
)
@pass_settings
def command(
    settings: Settings,
    /,
    model: str,
    text: tuple[str, ...],
    pooling: str | None,
    normalize: bool,
    nearest: str | None,
    top: int,
) -> None:
    """Make a vector of each TEXT, one line of numbers for each.

    Without TEXT each line that is piped in is one, but for blank ones. With --nearest every row of
    the dataset is embedded, and those whose vectors have the largest cosine to TEXT's are shown.
    The model is loaded if it is not.
    """
    from llmos_client.cli.answering import ensure_loaded

    if nearest is not None and len(text) != 1:
        raise click.UsageError("--nearest takes one TEXT")
    texts = list(text) or _lines()
    with settings.client() as client:
        ensure_loaded(client, model, quiet=settings.json)
        if nearest is not None:
            _show_nearest(settings, client, model, nearest, texts[0], top, pooling)
            return
        for at in range(0, len(texts), _AT_ONCE):
            batch = texts[at : at + _AT_ONCE]
            _print(settings, client, model, batch, pooling, normalize=normalize)


def _print(
    settings: Settings,
    client: "Client",
    model: str,
    texts: list[str],
    pooling: str | None,
    *,
    normalize: bool,
) -> None:
    from llmos_client.cli.output import print_json_line

    found = client.embed(model, texts, pooling=pooling, normalize=normalize)
    for text, vector in zip(texts, found.vectors, strict=True):
        if settings.json:
            said = {"text": text, "values": vector.values, "tokens": vector.tokens}
            print_json_line({**said, "pooling": found.pooling})
        else:
            print(" ".join(f"{value:.6g}" for value in vector.values), flush=True)


def _show_nearest(
    settings: Settings,
    client: "Client",
    model: str,
    dataset: str,
    query: str,
    count: int,
    pooling: str | None,
) -> None:
    from llmos_client.cli.output import note, print_json, print_table
    from llmos_client.neighbours import nearest

    found = nearest(client, model, dataset, query, count=count, pooling=pooling)
    if settings.json:
        print_json(found)
        return
    rows = [
        (f"{each.similarity:.3f}", str(each.row), " ".join(each.text.split()))
        for each in found.neighbours
    ]
    print_table(("COSINE", "ROW", "TEXT"), rows)
    if found.left_out:
        note(f"{found.left_out} of {found.rows} rows have no text, or one that is too long")


def _lines() -> list[str]:
    if sys.stdin.isatty():
        raise click.UsageError("say a TEXT, or pipe lines in")
    return [line for line in map(str.strip, sys.stdin) if line]
