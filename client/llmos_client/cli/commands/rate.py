"""llmos rate: two versions, two answers, and nobody knows whose is which."""

import random
from typing import TYPE_CHECKING

import click

from llmos_client.cli.completion import complete_dataset, complete_model
from llmos_client.cli.options import Command, Settings, pass_settings
from llmos_client.cli.sampling import given, sampling_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llmos_client.client import Client

_SAYS = {"1": "better", "2": "worse", "=": "tie"}


@click.command("rate", cls=Command)
@click.argument("first", shell_complete=complete_model)
@click.argument("second", shell_complete=complete_model)
@click.option("--prompt", "prompts", multiple=True, metavar="TEXT", help="Repeatable.")
@click.option("--dataset", default="", shell_complete=complete_dataset, help="Prompts of its rows.")
@click.option(
    "-n", "number", type=click.IntRange(1), default=20, help="Of the rows; 20 by default."
)
@click.option(
    "--subject", default="", metavar="NAME", help="Who rates; for agreement, and deletion."
)
@click.option("--consent", is_flag=True, help="The texts may be kept and learned from.")
@sampling_options
@pass_settings
def command(
    settings: Settings,
    /,
    first: str,
    second: str,
    prompts: tuple[str, ...],
    dataset: str,
    number: int,
    subject: str,
    consent: bool,
    **flags: object,
) -> None:
    """Compare answers of FIRST and SECOND, blindly.

    For each prompt both answers are shown in an order that is drawn; say 1, 2, = for as good, s to
    skip it and q to end. llmos feedback ratings tells the result.
    """
    from llmos_client.cli.answering import ensure_loaded
    from llmos_client.cli.output import note, print_json

    counts = dict.fromkeys(("first", "second", "tie", "skipped"), 0)
    with settings.client() as client:
        asked = [*prompts, *_prompts(client, dataset, number)]
        if not asked:
            raise click.UsageError("say a --prompt, or the --dataset they are in")
        for model in (first, second):
            ensure_loaded(client, model, quiet=settings.json)
        for prompt in asked:
            pair = [_answer(client, name, prompt, flags) for name in (first, second)]
            order = [0, 1]
            random.shuffle(order)
            shown = [pair[at] for at in order]
            said = _ask(prompt, [text for _, text in shown])
            if said == "q":
                break
            if said == "s":
                counts["skipped"] += 1
                continue
            client.create_feedback(
                shown[0][0], _SAYS[said], other=shown[1][0], subject=subject, consent=consent
            )
            winner = {"1": order[0], "2": order[1]}.get(said)
            counts["tie" if winner is None else ("first", "second")[winner]] += 1
    if settings.json:
        print_json({"rated": counts})
        return
    note(
        f"{first} was better {counts['first']} times, {second} {counts['second']}, "
        f"ties {counts['tie']}; llmos feedback ratings has all of it"
    )


def _prompts(client: "Client", dataset: str, number: int) -> "Iterator[str]":
    if not dataset:
        return
    for example in client.list_examples(dataset, limit=number):
        row = example.content
        messages = row.get("messages") or [{"content": row.get("prompt") or row.get("text")}]
        yield next(each["content"] for each in messages if each.get("role", "user") == "user")


def _answer(client: "Client", model: str, prompt: str, flags: dict[str, object]) -> tuple[str, str]:
    """The generation's name, and what it says."""
    options: dict[str, object] = {"max_tokens": 200, **given(flags)}
    if client.get_version(model).chat:
        options["messages"] = [{"role": "user", "content": prompt}]
        made = client.generate(model, **options)  # type: ignore[arg-type]
    else:
        made = client.generate(model, prompt, **options)  # type: ignore[arg-type]
    return made.name, made.text


def _ask(prompt: str, answers: list[str]) -> str:
    click.echo(f"\n{prompt}\n")
    for at, answer in enumerate(answers, 1):
        click.echo(f"[{at}] {answer.strip()}\n")
    choice: str = click.prompt("better", type=click.Choice([*_SAYS, "s", "q"]), show_choices=True)
    return choice
