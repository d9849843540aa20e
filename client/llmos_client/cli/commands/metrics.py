"""llmos metrics: all metrics of the daemon, as Prometheus reads them."""

from pathlib import Path

import click

from llmos_client.cli.options import Command, Settings, pass_settings


@click.command("metrics", cls=Command)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Replace this file in one step, for node_exporter's textfile collector.",
)
@pass_settings
def command(settings: Settings, out: Path | None) -> None:
    """Show the daemon's metrics in Prometheus' text format."""
    from llmos_client.cli.output import print_json

    with settings.client() as client:
        text = client.metrics()
    if out is not None:
        # The collector reads *.prom whenever it likes: never half a file.
        scratch = out.with_name(f".{out.name}.new")
        scratch.write_text(_without_process(text))
        scratch.chmod(0o644)
        scratch.replace(out)
    elif settings.json:
        print_json({"text": text})
    else:
        print(text, end="")


def _without_process(text: str) -> str:
    """Without process_*, which node_exporter has of itself."""
    lines = text.splitlines(keepends=True)
    return "".join(
        line
        for line in lines
        if not line.removeprefix("# HELP ").removeprefix("# TYPE ").startswith("process_")
    )
