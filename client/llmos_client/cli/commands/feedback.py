"""llmos feedback: what people say about answers."""

from typing import Any

import click

from llmos_client.cli.completion import complete_dataset, complete_model
from llmos_client.cli.options import Group, Settings, pass_settings

_WIDEST = 60


@click.group("feedback", cls=Group)
def command() -> None:
    """Give, list, export and delete feedback; rate versions by it."""


@command.command("add")
@click.argument("generation")
@click.argument("verdict", type=click.Choice(["up", "down", "edit", "better", "tie", "worse"]))
@click.option("--edit", default="", metavar="TEXT", help="What should have been said.")
@click.option("--than", "other", default="", metavar="GENERATION", help="Compared with it.")
@click.option("--comment", default="", metavar="TEXT", help="Why.")
@click.option("--consent", is_flag=True, help="The texts may be kept and learned from.")
@click.option("--subject", default="", metavar="NAME", help="By which it can be deleted.")
@pass_settings
def add(settings: Settings, /, generation: str, verdict: str, **options: Any) -> None:
    """Say something about an answer, by the name that its first event has."""
    from llmos_client.cli.output import print_json

    with settings.client() as client:
        made = client.create_feedback(generation, verdict, **options)
    print_json({"feedback": made}) if settings.json else print(made.name)


@command.command("list")
@click.argument("model", default="", shell_complete=complete_model)
@pass_settings
def list_(settings: Settings, model: str) -> None:
    """List feedback, on MODEL or on all, the newest first."""
    from llmos_client.cli.output import note, print_json, print_table, until_now

    with settings.client() as client:
        found = client.list_feedback(model)
    if settings.json:
        print_json({"feedback": found})
        return
    if not found:
        note("No feedback yet. Try: llmos rate MODEL MODEL@candidate --prompt '...'")
        return
    rows = [
        (
            each.name.removeprefix("feedback/"),
            each.model_version.removeprefix("models/"),
            str(each.kind),
            each.other_model_version.removeprefix("models/") or "-",
            each.subject or "-",
            "yes" if each.consent else "no",
            _short(each.edit or each.answer),
            f"{until_now(each.create_time)} ago",
        )
        for each in found
    ]
    print_table(("ID", "ON", "SAYS", "THAN", "SUBJECT", "CONSENT", "TEXT", "MADE"), rows)


@command.command("rm")
@click.argument("feedback", default="")
@click.option("--subject", metavar="NAME", help="All of a subject.")
@pass_settings
def remove(settings: Settings, feedback: str, subject: str | None) -> None:
    """Delete FEEDBACK, or all of a subject, with every dataset that holds it."""
    from llmos_client.cli.output import print_json

    if bool(feedback) == (subject is not None):
        raise click.UsageError("either an ID, or --subject NAME")
    with settings.client() as client:
        gone = client.delete_feedback(feedback or None, subject=subject)
    if settings.json:
        print_json({"deleted": gone})
        return
    print(f"deleted {gone.deleted_count}")
    for name in gone.removed_datasets:
        print(f"  removed {name}, which held some of it")
    for name in gone.marked_versions:
        print(f"  {name} was trained on it, and says so now")


@command.command("export")
@click.option("--to", "dataset", required=True, metavar="ID", help="The dataset that gets it.")
@click.option(
    "--kind",
    type=click.Choice(["rated", "preference", "pairs"]),
    default="rated",
    help="For KTO, DPO or SFT; rated by default.",
)
@click.option("--model", default="", shell_complete=complete_model, help="On this model only.")
@click.option("--replay", default="", shell_complete=complete_dataset, help="Rows to mix in.")
@click.option("--replay-share", type=float, help="Of all rows; 0.3 by default.")
@click.option("--max-tenant-share", type=float, help="Of all rows; 0.5 by default.")
@pass_settings
def export(settings: Settings, /, dataset: str, kind: str, **options: Any) -> int:
    """Make a dataset of what people consented to."""
    from llmos_client.cli.job_view import follow

    with settings.client() as client:
        operation = client.export_feedback(dataset, kind, **options)
        return follow(client, operation.name, settings)


@command.command("ratings")
@click.argument("versions", nargs=-1)
@pass_settings
def ratings(settings: Settings, versions: tuple[str, ...]) -> None:
    """Rate VERSIONS, or all, by people's comparisons."""
    from llmos_client.cli.output import note, print_json, print_table

    with settings.client() as client:
        found = client.rate_models(versions)
    if settings.json:
        print_json({"ratings": found})
        return
    if not found.ratings:
        note("No comparisons yet. Try: llmos rate MODEL MODEL@candidate --prompt '...'")
        return
    rows = [
        (
            each.version.removeprefix("models/"),
            f"{each.rating:.0f}",
            f"{each.low:.0f} to {each.high:.0f}",
            f"{each.wins:.0%}",
            f"{each.comparison_count:,}",
        )
        for each in found.ratings
    ]
    print_table(("VERSION", "RATING", "95 %", "WINS", "COMPARISONS"), rows)
    agree = found.agreement
    print(f"agreement: {'nobody compared the same answers' if agree is None else f'{agree:.2f}'}")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDEST else line[: _WIDEST - 1] + "…"
