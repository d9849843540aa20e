"""llmos batch: a dataset's rows to a model, its answers to another dataset."""

from typing import Any

import click

from llmos_client.cli.completion import complete_dataset
from llmos_client.cli.options import Command, Settings, model_argument, pass_settings
from llmos_client.cli.sampling import form_options, given, sampling_options


@click.command("batch", cls=Command)
@model_argument()
@click.option("--dataset", required=True, shell_complete=complete_dataset, help="The questions.")
@click.option("--out", required=True, metavar="ID", help="The dataset that gets the answers.")
@click.option("--system", default="", metavar="TEXT", help="The system message.")
@click.option("--concurrency", type=int, help="Rows that are answered at once; 32 by default.")
@click.option("--priority", type=click.Choice(["low", "normal", "high"]), help="Low by default.")
@sampling_options
@form_options
@click.option("--detach", is_flag=True, help="Print the job's name, and do not follow it.")
@pass_settings
def command(
    settings: Settings,
    /,
    model: str,
    dataset: str,
    out: str,
    system: str,
    concurrency: int | None,
    detach: bool,
    **flags: Any,
) -> int:
    """Answer every row of a dataset.

    The job belongs to the daemon: after a restart it goes on with the rows that are left.
    """
    from llmos_client.cli.job_view import follow
    from llmos_client.cli.output import print_json

    with settings.client() as client:
        operation = client.batch_generate(
            model, dataset, out, system=system, concurrency=concurrency, **given(flags)
        )
        if detach:
            job = operation.name.removeprefix("operations/")
            print_json({"job": operation}) if settings.json else print(job)
            return 0
        return follow(client, operation.name, settings)
