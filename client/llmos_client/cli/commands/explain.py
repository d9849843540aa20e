"""llmos explain: which words of a prompt an answer hangs on, and what else it might have been."""

import sys
from typing import TYPE_CHECKING, Any

import click

from llmos_client.cli.options import Command, Settings, model_argument, pass_settings

if TYPE_CHECKING:
    from llmos_client.explanations import Ancestor, Explanation

_BAR = 20


@click.command("explain", cls=Command)
@model_argument()
@click.argument("prompt", nargs=-1)
@click.option("--answer", metavar="TEXT", help="Explain this, not what the model says itself.")
@click.option("--raw", is_flag=True, help="Take the prompt as it stands, without the template.")
@click.option("--max-tokens", type=click.IntRange(1, 256), help="Of the model's own answer; 16.")
@click.option(
    "--target", type=click.IntRange(min=0), help="The place of one token of the answer; all."
)
@click.option(
    "--baseline",
    type=click.Choice(["mean", "zero"]),
    help="Embeddings that the prompt's are compared with; mean.",
)
@click.option("--top", type=click.IntRange(0, 20), help="Alternatives to each token; 5.")
@click.option("--max-steps", type=click.IntRange(8, 8192), help="Gradients at most; 512.")
@pass_settings
def command(
    settings: Settings, /, model: str, prompt: tuple[str, ...], raw: bool, **options: Any
) -> None:
    """Tell why the model answers PROMPT as it does.

    For each token of the answer: how probable it was, and what else might have been said. For each
    token of the prompt: how much it speaks for the answer, or against it (integrated gradients).
    Last, what the version was made of. The model is loaded if it is not; its weights are read once
    more, so this takes a while.
    """
    from llmos_client.cli.answering import ensure_loaded
    from llmos_client.cli.output import print_json

    text = " ".join(prompt) if prompt else _piped()
    with settings.client() as client:
        version = ensure_loaded(client, model, quiet=settings.json)
        asked: dict[str, Any] = {"prompt": text}
        if version.chat and not raw:
            asked = {"messages": [{"role": "user", "content": text}]}
        found = client.explain(model, **asked, **options)
    if settings.json:
        print_json(found)
    else:
        _print(found)


def _piped() -> str:
    text = "" if sys.stdin.isatty() else sys.stdin.read().rstrip("\n")
    if not text:
        raise click.UsageError("give a PROMPT, or pipe one in")
    return text


def _print(found: "Explanation") -> None:
    from llmos_client.cli.output import note, print_table

    rows = [
        (_shown(token.bytes), f"{token.logprob or 0.0:.3f}", str(token.rank), "  ".join(
            f"{_shown(other.bytes)} {other.logprob:.3f}" for other in token.top
        ))
        for token in found.answer
    ]  # fmt: skip
    print_table(("ANSWER", "LOGPROB", "RANK", "LIKELIEST"), rows)
    print()
    most = max((abs(token.attribution) for token in found.prompt), default=0.0) or 1.0
    print_table(
        ("PROMPT", "LOGITS", ""),
        [
            (_shown(t.bytes), f"{t.attribution:+.3f}", _bar(t.attribution / most))
            for t in found.prompt
        ],
    )
    print()
    print_table(("VERSION", "LICENCE", "MADE OF"), [_ancestor(each) for each in found.lineage])
    own = found.integration
    note(
        f"the target's logits are {own.output:.3f}, and {own.baseline_output:.3f} without the "
        f"prompt; attributions miss {own.relative_error:.1%} of the difference, "
        f"{own.steps} gradients" + ("" if own.converged else ": raise --max-steps")
    )


def _shown(data: bytes) -> str:
    return repr(data.decode(errors="replace"))[1:-1].replace(" ", "\u00b7")


def _bar(share: float) -> str:
    return ("+" if share > 0 else "-") * round(abs(share) * _BAR)


def _ancestor(each: "Ancestor") -> tuple[str, str, str]:
    made = [each.source] if each.source else []
    if each.dataset:
        made.append(f"{each.objective} ({each.method}) on {each.dataset}")
    if each.base:
        made.append(f"{'adapter to' if each.adapter else 'from'} {each.base}")
    return each.version, each.license or "-", ", ".join(made) or "-"
