"""llmos curve: the loss of a job, as a picture."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from llmos_client.cli.completion import complete_job
from llmos_client.cli.options import Command, Settings, pass_settings

if TYPE_CHECKING:
    from llmos_client.curves import Curve

_ENDINGS = (".svg", ".png", ".csv", ".json")


@click.command("curve", cls=Command)
@click.argument("job", shell_complete=complete_job)
@click.option("--metric", default="loss", help="Another figure, as learning_rate.")
@click.option("--out", type=click.Path(path_type=Path), help="A file: .svg, .png, .csv or .json.")
@click.option(
    "--tensorboard", type=click.Path(path_type=Path), metavar="DIR", help="Write event files there."
)
@pass_settings
def command(
    settings: Settings, job: str, metric: str, out: Path | None, tensorboard: Path | None
) -> None:
    """Draw a job's loss curve, in the terminal or into a file."""
    from llmos_client.cli.job_view import collect, job_name, show_curve
    from llmos_client.cli.output import note, print_json
    from llmos_client.curves import write_tensorboard

    if out is not None and out.suffix not in _ENDINGS:
        raise click.BadParameter(f"{out}: must end with {', '.join(_ENDINGS)}", param_hint="--out")
    with settings.client() as client:
        curve = collect(client, job_name(job))
    known = sorted(
        {name for point in (*curve.training, *curve.evaluation) for name in point.values}
    )
    if metric not in known:
        raise click.UsageError(f"{job} has no {metric}; it has {', '.join(known) or 'nothing yet'}")
    if out is not None:
        _write(curve, metric, out, job)
        note(f"wrote {out}")
    if tensorboard is not None:
        write_tensorboard(curve, tensorboard)
        note(f"wrote event files to {tensorboard}")
    if settings.json:
        print_json({"rows": curve.rows()})
    elif out is None and tensorboard is None:
        print(show_curve(curve, metric))


def _write(curve: "Curve", metric: str, out: Path, job: str) -> None:
    import csv
    import json

    from llmos_client.curves import draw

    if out.suffix in (".svg", ".png"):
        draw(curve, metric, out, job)
    elif out.suffix == ".json":
        out.write_text(json.dumps(curve.rows(), indent=1) + "\n")
    else:
        rows = curve.rows()
        names = list(dict.fromkeys(name for row in rows for name in row))
        with out.open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
