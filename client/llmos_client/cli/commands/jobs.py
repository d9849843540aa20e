"""llmos jobs: what trains, waits, is paused, and how it ended."""

from typing import TYPE_CHECKING, Any

import click

from llmos_client.cli.completion import complete_job
from llmos_client.cli.options import Command, Settings, pass_settings

if TYPE_CHECKING:
    from llmos_client.operations import Operation

HEADERS = ("JOB", "KIND", "TARGET", "STATE", "PROGRESS", "LOSS", "TOKENS/S", "AGE")
_SHORT = ("upload-model", "upload-dataset", "load-model", "unload-model")


@click.command("jobs", cls=Command)
@click.option("--all", "every", is_flag=True, help="Uploading and loading, too.")
@click.option(
    "--remove",
    multiple=True,
    metavar="JOB",
    shell_complete=complete_job,
    help="Forget a job that has ended, and its checkpoints; repeatable.",
)
@pass_settings
def command(settings: Settings, every: bool, remove: tuple[str, ...]) -> None:
    """List jobs, the newest first."""
    from llmos_client.cli.job_view import job_name
    from llmos_client.cli.output import note, print_json, print_table

    with settings.client() as client:
        for job in remove:
            client.delete_operation(job_name(job))
            note(f"removed {job}")
        if remove:
            return
        found = client.list_operations()
    shown = [operation for operation in found if every or operation.kind not in _SHORT]
    if settings.json:
        print_json({"jobs": shown})
    elif shown:
        print_table(HEADERS, [row(operation) for operation in shown])
    else:
        print("no jobs; llmos train starts one")


def row(operation: "Operation[Any]") -> tuple[str, ...]:
    """Lay out a job under HEADERS."""
    from llmos_client.cli.output import until_now

    values = operation.metrics.values if operation.metrics else {}
    return (
        operation.name.removeprefix("operations/"),
        operation.kind,
        operation.target.partition("/")[2],
        str(operation.state),
        _progress(operation),
        f"{values['loss']:.4f}" if "loss" in values else "",
        f"{values['tokens_per_second']:,.0f}" if "tokens_per_second" in values else "",
        until_now(operation.create_time),
    )


def _progress(operation: "Operation[Any]") -> str:
    progress = operation.progress
    if operation.done or progress is None:
        return ""
    if not progress.total:
        return progress.stage
    return f"{progress.stage} {progress.completed}/{progress.total} {progress.unit}".rstrip()
