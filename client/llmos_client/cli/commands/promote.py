"""llmos promote: let an alias mean another version, while requests run."""

from typing import TYPE_CHECKING

import click

from llmos_client.cli.conditions import read_conditions
from llmos_client.cli.options import Command, Settings, model_argument, pass_settings
from llmos_client.cli.quantities import read_duration

if TYPE_CHECKING:
    from llmos_client.promotions import GateCondition


@click.command("promote", cls=Command)
@model_argument("MODEL/versions/N")
@click.option("--alias", default="", metavar="NAME", help="Which alias moves; live by default.")
@click.option(
    "--keep-alive",
    metavar="DURATION",
    callback=read_duration,
    help="As of llmos load; by default as the version has it that gives way.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "int8", "int4"]),
    help="Of the arithmetic; by default as the version has it that gives way.",
)
@click.option(
    "--allow-restricted-license",
    is_flag=True,
    help="Though a license, of the version or of what it was made from, restricts its use.",
)
@click.option(
    "--require",
    multiple=True,
    metavar="CONDITION",
    callback=read_conditions,
    help="Beside what llmos gate set; repeatable.",
)
@click.option(
    "--probation",
    metavar="DURATION",
    callback=read_duration,
    help="How long it is watched, to be left if it fails; 1m by default, 0 not at all.",
)
@click.option(
    "--losses", type=click.IntRange(min=0), help="Losses of its process that are borne; none."
)
@pass_settings
def command(
    settings: Settings,
    model: str,
    alias: str,
    keep_alive: float | None,
    dtype: str | None,
    allow_restricted_license: bool,
    require: "tuple[GateCondition, ...]",
    probation: float | None,
    losses: int | None,
) -> None:
    """Load a version, check it, and let the alias mean it from then on."""
    from llmos_client.cli.output import print_json
    from llmos_client.cli.progress import open_progress
    from llmos_client.promotions import Probation

    with settings.client() as client, open_progress(quiet=settings.json) as progress:
        result = client.promote(
            model,
            alias=alias,
            keep_alive=keep_alive,
            dtype=dtype,
            allow_restricted_license=allow_restricted_license,
            gate=require,
            probation=Probation(probation, losses),
            on_progress=progress,
        ).result()
    moved = result.promotion
    if settings.json:
        print_json({"promote": result})
    elif moved is None:
        print(f"{alias or 'live'} means {result.version.name} already; it is loaded and sound")
    else:
        print(f"{moved.alias}: {moved.previous or 'new'} -> {moved.version}")
        if moved.probation_end_time is not None:
            until = moved.probation_end_time.astimezone().isoformat(timespec="seconds")
            print(f"watched until {until}; llmos rollback {result.version.model} goes back")
