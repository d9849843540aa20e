"""llmos install: make this installation a service of the machine."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click

from llmos_client.cli.options import Command, Settings, pass_settings


@click.command("install", cls=Command)
@click.option("--systemd", is_flag=True, required=True, help="A service of systemd, for everybody.")
@click.option("--now", is_flag=True, help="Enable and start it, too.")
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@pass_settings
def command(settings: Settings, /, systemd: bool, now: bool, dry_run: bool) -> int:
    """Make this installation's llmosd a service of the machine.

    Writes units, the group llmos, and /etc/llmos/llmosd.toml where there is none. What is in
    /etc/systemd/system stays, and wins.
    """
    from llmos_client.cli.output import print_json
    from llmos_client.cli.service_files import check_reachable, service_files, shipped_units

    del systemd  # the only kind there is
    prefix = Path(sys.prefix)
    check_reachable(prefix, Path(sys.executable))
    files = service_files(prefix, shipped_units())
    kept = {each.path for each in files if each.keep and each.path.exists()}
    if not dry_run:
        if os.geteuid() != 0:
            raise click.UsageError("llmos install --systemd writes to /etc: run it as root")
        for each in files:
            if each.path not in kept:
                each.path.parent.mkdir(parents=True, exist_ok=True)
                each.path.write_text(each.text)
                each.path.chmod(0o644)
        _tell_systemd(now)
    if settings.json:
        print_json({"files": [str(each.path) for each in files if each.path not in kept]})
        return 0
    for each in files:
        print(
            f"{'kept' if each.path in kept else 'would write' if dry_run else 'wrote'} {each.path}"
        )
    if not now:
        click.echo("Next: systemctl enable --now llmosd; usermod -aG llmos NAME", err=True)
    return 0


def _tell_systemd(now: bool) -> None:
    if shutil.which("systemd-sysusers"):
        subprocess.run(["systemd-sysusers", "llmosd.conf"], check=True)
    if Path("/run/systemd/system").exists():
        subprocess.run(["systemctl", "daemon-reload"], check=True)
        if now:
            subprocess.run(["systemctl", "enable", "--now", "llmosd"], check=True)
    elif now:
        raise click.UsageError("systemd does not run here: --now cannot start anything")
