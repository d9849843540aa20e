"""llmos load: make a model ready to answer."""

import time

import click

from llmos_client.cli.options import Command, Settings, model_argument, pass_settings
from llmos_client.cli.quantities import read_duration


@click.command("load", cls=Command)
@model_argument()
@click.option(
    "--keep-alive",
    metavar="DURATION",
    callback=read_duration,
    help="Unload after this long without a request, as 10m; or never.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "int8", "int4"]),
    help="Of the arithmetic; the Llama family takes all four on a CPU.",
)
@click.option("--estimate", is_flag=True, help="Only say how much memory it would take.")
@pass_settings
def command(
    settings: Settings, model: str, keep_alive: float | None, dtype: str | None, estimate: bool
) -> None:
    """Load a model into memory."""
    from llmos_client.cli.output import human_bytes, print_json
    from llmos_client.cli.progress import open_progress

    began = time.monotonic()
    with settings.client() as client, open_progress(quiet=settings.json) as progress:
        loaded = client.load_model(
            model,
            keep_alive=keep_alive,
            dtype=dtype,
            validate_only=estimate,
            on_progress=progress,
        ).result()
    seconds = time.monotonic() - began
    if settings.json:
        print_json({"estimate_only": estimate, "seconds": round(seconds, 3), "load": loaded})
    elif estimate:
        name = loaded.version.name or model
        print(f"{name} would take up to {human_bytes(loaded.estimated_bytes)}")
    else:
        home = loaded.version.residency
        print(
            f"loaded {loaded.version.name} in {seconds:.1f} s: pid {home.pid}, {home.runner},"
            f" {home.dtype}, resident {human_bytes(loaded.resident_bytes_before)}"
            f" -> {human_bytes(loaded.resident_bytes_loaded)}"
        )
