"""llmos learn: once around from what people said to a version that is better for it."""

from typing import Any

import click

from llmos_client.cli.commands.train import read_settings
from llmos_client.cli.completion import complete_dataset
from llmos_client.cli.options import Command, Settings, model_argument, pass_settings
from llmos_client.cli.quantities import read_share


@click.command("learn", cls=Command)
@model_argument()
@click.option(
    "--objective", type=click.Choice(["kto", "sft", "dpo"]), help="KTO by default, of all verdicts."
)
@click.option(
    "--set",
    "settings_",
    multiple=True,
    metavar="NAME=VALUE",
    callback=read_settings,
    help="A setting of the training, as llmos train --settings lists them.",
)
@click.option("--replay", default="", shell_complete=complete_dataset, help="Rows to mix in.")
@click.option(
    "--replay-share", callback=read_share, metavar="SHARE", help="Of all rows; 0.3 by default."
)
@click.option(
    "--on",
    "evaluate_on",
    multiple=True,
    metavar="DATASET|suites/ID",
    help="What must not get worse; suites/anchors by default.",
)
@click.option(
    "--max-regression",
    "max_metric_regression",
    callback=read_share,
    metavar="SHARE",
    help="2% by default.",
)
@click.option("--promote", is_flag=True, help="Make the result live, where it holds.")
@click.option("--min-rows", type=click.IntRange(1), help="Below which it waits; 20 by default.")
@click.option("--detach", is_flag=True, help="Print the job's name, and do not follow it.")
@pass_settings
def command(
    settings: Settings, /, model: str, settings_: dict[str, str], detach: bool, **options: Any
) -> int:
    """Let MODEL learn from feedback that people consented to: export, train, judge, promote.

    The units llmos-learn@.timer and llmos-learn@.service run it every night.
    """
    from llmos_client.cli.job_view import follow
    from llmos_client.cli.output import print_json

    with settings.client() as client:
        operation = client.learn_from_feedback(model, settings=settings_, **options)
        if detach:
            job = operation.name.removeprefix("operations/")
            print_json({"job": operation}) if settings.json else print(job)
            return 0
        return follow(client, operation.name, settings)
