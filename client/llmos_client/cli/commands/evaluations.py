"""llmos evaluations: look into, compare and remove what was measured."""

import json
from typing import TYPE_CHECKING

import click

from llmos_client.cli.completion import complete_model
from llmos_client.cli.options import Group, Settings, pass_settings

if TYPE_CHECKING:
    from llmos_client.evaluations import EvaluationDifference

_WIDEST = 100


@click.group("evaluations", cls=Group)
def command() -> None:
    """List, show, compare and remove evaluations."""


@command.command("list")
@click.argument("model", default="", shell_complete=complete_model)
@pass_settings
def list_(settings: Settings, model: str) -> None:
    """List evaluations, of MODEL or of all, the newest first."""
    from llmos_client.cli.output import note, print_json, print_table, until_now

    with settings.client() as client:
        found = client.list_evaluations(model)
    if settings.json:
        print_json({"evaluations": found})
        return
    if not found:
        note("No evaluations yet. Try: llmos evaluate MODEL --on suites/anchors")
        return
    rows = [
        (
            each.id,
            (each.model_version or each.answers).partition("/")[2],
            result.name,
            f"{result.metrics[0].name} {result.metrics[0].value:.4g}",
            f"{until_now(each.create_time)} ago",
        )
        for each in found
        for result in each.results
    ]
    print_table(("ID", "OF", "ON", "FIRST FIGURE", "MADE"), rows)


@command.command("show")
@click.argument("evaluation")
@pass_settings
def show(settings: Settings, evaluation: str) -> None:
    """Show all figures of an evaluation."""
    from llmos_client.cli.evaluation_view import print_evaluation
    from llmos_client.cli.output import print_json

    with settings.client() as client:
        found = client.get_evaluation(evaluation)
    print_json({"evaluation": found}) if settings.json else print_evaluation(found)


@command.command("examples")
@click.argument("evaluation")
@click.option("--of", "result", default="", metavar="PART", help="By default, the first.")
@click.option("-n", "number", type=click.IntRange(1, 100_000), default=10, help="10 by default.")
@pass_settings
def examples(settings: Settings, evaluation: str, result: str, number: int) -> None:
    """Show what was said to each example, and how it was judged."""
    from llmos_client.cli.output import print_json

    with settings.client() as client:
        found = client.list_evaluation_examples(evaluation, result, limit=number)
    if settings.json:
        print_json({"examples": found})
        return
    for each in found:
        figures = "  ".join(f"{name} {value:.4g}" for name, value in each.metrics.items())
        print(f"{each.row}: {figures or each.error}")
        for name, value in (("asked", each.input), ("said", each.output)):
            text = json.dumps(value, ensure_ascii=False)
            print(f"  {name}: {text if len(text) <= _WIDEST else text[: _WIDEST - 1] + '…'}")


@command.command("compare")
@click.argument("first")
@click.argument("second")
@pass_settings
def compare(settings: Settings, first: str, second: str) -> None:
    """Compare FIRST with SECOND on the examples that both were judged on.

    Paired bootstrap: an interval without 0, and a small p, are no accident.
    """
    from llmos_client.cli.output import print_json, print_table

    with settings.client() as client:
        found = client.compare_evaluations(first, second)
    if settings.json:
        print_json({"differences": found})
        return
    head = ("ON", "FIGURE", "FIRST", "SECOND", "DIFFERENCE", "95 %", "P", "EXAMPLES")
    print_table(head, [_row(each) for each in found])


@command.command("rm")
@click.argument("evaluation")
@pass_settings
def remove(settings: Settings, evaluation: str) -> None:
    """Remove an evaluation."""
    from llmos_client.cli.output import print_json

    with settings.client() as client:
        client.delete_evaluation(evaluation)
    print_json({"removed": evaluation}) if settings.json else print(f"removed {evaluation}")


@command.command("suites")
@pass_settings
def suites(settings: Settings) -> None:
    """List the suites that come with the daemon."""
    from llmos_client.cli.output import print_json, print_table

    with settings.client() as client:
        found = client.list_suites()
    if settings.json:
        print_json({"suites": found})
        return
    rows = [(f"suites/{s.id}", str(s.kind), str(s.row_count), s.description) for s in found]
    print_table(("NAME", "KIND", "ROWS", "TELLS"), rows)


def _row(found: "EvaluationDifference") -> tuple[str, ...]:
    return (
        found.result,
        found.metric,
        f"{found.first:.4g}",
        f"{found.second:.4g}",
        f"{found.difference:+.4g}",
        f"{found.low:+.4g} to {found.high:+.4g}",
        f"{found.p_value:.3g}",
        f"{found.example_count:,}",
    )
