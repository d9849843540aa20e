"""llmos latent: sentences as points, of models that have a latent vector."""

import json
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from llmos_client.cli.options import Group, Settings, model_argument, pass_settings

F = TypeVar("F", bound=Callable[..., Any])


@click.group("latent", cls=Group)
def command() -> None:
    """Encode, decode, sample, interpolate and compress texts, by models of family vae."""


def _decoding(function: F) -> F:
    options = [
        click.option("--max-tokens", type=click.IntRange(min=1), help="Of each text, at most."),
        click.option("--temperature", type=float, help="0, the default, is greedy."),
        click.option("--seed", type=int, help="The same seed draws the same texts."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@command.command("encode")
@model_argument()
@click.argument("text")
@pass_settings
def encode(settings: Settings, /, model: str, text: str) -> None:
    """Show the mean and the deviation of a text's latent vector."""
    from llmos_client.cli.answering import ensure_loaded
    from llmos_client.cli.output import note, print_json, print_table

    with settings.client() as client:
        ensure_loaded(client, model, quiet=settings.json)
        found = client.encode_text(model, text)
    if settings.json:
        print_json(found)
        return
    pairs = enumerate(zip(found.mean, found.log_variance, strict=True))
    rows = [(str(at), f"{mean:.4f}", f"{_deviation(log):.4f}") for at, (mean, log) in pairs]
    print_table(("DIMENSION", "MEAN", "DEVIATION"), rows)
    note(f"KL divergence from N(0, I): {found.kl:.3f} nats")


@command.command("decode")
@model_argument()
@click.option(
    "--latent",
    "vectors",
    multiple=True,
    metavar="NUMBERS",
    help="With commas between them; without it, JSON is read from stdin.",
)
@_decoding
@pass_settings
def decode(settings: Settings, /, model: str, vectors: tuple[str, ...], **how: Any) -> None:
    """Write the texts of latent vectors.

    What is piped in is a list of numbers, a list of such lists, or what llmos latent encode -o json
    prints.
    """
    from llmos_client.cli.answering import ensure_loaded

    points = [_numbers(text) for text in vectors] or _piped()
    with settings.client() as client:
        ensure_loaded(client, model, quiet=settings.json)
        _print_texts(client.decode_latents(model, points, **how), settings)


@command.command("sample")
@model_argument()
@click.option("--n", "count", type=click.IntRange(min=1), help="Texts to write; one by default.")
@_decoding
@pass_settings
def sample(settings: Settings, /, model: str, count: int | None, **how: Any) -> None:
    """Write texts of latent vectors drawn from N(0, I)."""
    from llmos_client.cli.answering import ensure_loaded

    with settings.client() as client:
        ensure_loaded(client, model, quiet=settings.json)
        _print_texts(client.sample_texts(model, count, **how), settings)


@command.command("interpolate")
@model_argument()
@click.argument("from_text", metavar="FROM")
@click.argument("to_text", metavar="TO")
@click.option("--steps", type=click.IntRange(min=2), help="Texts, both ends included; 7.")
@click.option("--path", type=click.Choice(["linear", "spherical"]), help="Linear by default.")
@_decoding
@pass_settings
def interpolate(settings: Settings, /, model: str, **more: Any) -> None:
    """Write the texts on the way from one text to another."""
    from llmos_client.cli.answering import ensure_loaded
    from llmos_client.cli.output import print_json, print_table

    with settings.client() as client:
        ensure_loaded(client, model, quiet=settings.json)
        found = client.interpolate_texts(model, **more)
    if settings.json:
        print_json(found)
    else:
        rows = [(f"{point.share:.2f}", point.text.strip()) for point in found.points]
        print_table(("SHARE", "TEXT"), rows)


@command.command("compress")
@model_argument()
@click.argument("texts", nargs=-1, required=True, metavar="TEXT...")
@click.option("--bits", type=click.IntRange(1, 16), help="Of each number of the vector; 8.")
@pass_settings
def compress(settings: Settings, /, model: str, texts: tuple[str, ...], bits: int | None) -> None:
    """Show what is left of texts that are kept as a rounded latent vector, and what that takes."""
    from llmos_client.cli.answering import ensure_loaded
    from llmos_client.cli.output import print_json, print_table

    with settings.client() as client:
        ensure_loaded(client, model, quiet=settings.json)
        found = client.compress_texts(model, texts, bits=bits)
    if settings.json:
        print_json(found)
        return
    rows = [(*_rates(each), each.reconstruction.strip()) for each in found.results]
    rows.append((*_rates(found), "(all)"))
    print_table(("BITS/CHAR", "KL BITS/CHAR", "ERRORS", "RECONSTRUCTION"), rows)


def _rates(found: Any) -> tuple[str, str, str]:
    return (
        f"{found.bits_per_character:.2f}",
        f"{found.kl_bits_per_character:.2f}",
        f"{found.character_error_rate:.1%}",
    )


def _deviation(log_variance: float) -> float:
    import math

    return math.exp(log_variance / 2)


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise click.UsageError(f"--latent: {text!r} is not numbers with commas between") from None


def _piped() -> list[list[float]]:
    """Latent vectors of what is piped in."""
    if sys.stdin.isatty():
        raise click.UsageError("give --latent NUMBERS, or pipe JSON in")
    try:
        found = json.loads(sys.stdin.read())
        found = found["mean"] if isinstance(found, dict) else found
        many = found if found and isinstance(found[0], list) else [found]
        return [[float(number) for number in vector] for vector in many]
    except (ValueError, TypeError, KeyError):
        raise click.UsageError("what is piped in is no latent vector in JSON") from None


def _print_texts(found: Any, settings: Settings) -> None:
    from llmos_client.cli.output import print_json

    if settings.json:
        print_json(found)
    else:
        for text in found.texts:
            print(text.strip())
