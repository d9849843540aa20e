"""llmos backup: a copy of the daemon's state, while it serves."""

import time
from pathlib import Path

import click

from llmos_client.cli.options import Command, Settings, pass_settings


@click.command("backup", cls=Command)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--keep",
    type=click.IntRange(1),
    metavar="N",
    help="Then remove all but the newest N.",
)
@pass_settings
def command(settings: Settings, folder: Path, keep: int | None) -> None:
    """Add a snapshot of the daemon's state to FOLDER; what is there already is not copied again.

    The daemon goes on serving, training and importing. llmosd restore makes a state directory of
    it.
    """
    from llmos_client.cli.output import human_bytes, print_json
    from llmos_client.cli.progress import open_progress

    began = time.monotonic()
    with settings.client() as client, open_progress(quiet=settings.json) as progress:
        done = client.back_up(folder, keep=keep, on_progress=progress)
    seconds = round(time.monotonic() - began, 3)
    if settings.json:
        print_json({"backup": done, "folder": folder, "seconds": seconds})
        return
    new = human_bytes(done.new_bytes)
    size = f"{done.files} files, {human_bytes(done.bytes)}, {new} of them new"
    print(f"snapshot {done.name} in {folder}: {size}, in {seconds:.1f} s")
    if done.removed_snapshots:
        freed = human_bytes(done.freed_bytes)
        print(f"removed {done.removed_snapshots} older snapshots: {freed} are free")
