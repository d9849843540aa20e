"""llmos log-level: how much the daemon logs."""

import click

from llmos_client.cli.options import Command, Settings, pass_settings


@click.command("log-level", cls=Command)
@click.argument("level", type=click.Choice(["debug", "info", "warning", "error"]), required=False)
@pass_settings
def command(settings: Settings, level: str | None) -> None:
    """Show from which LEVEL on the daemon logs, or set it until the daemon ends."""
    from llmos_client.cli.output import print_json

    with settings.client() as client:
        before = client.log_level() if level is None else client.set_log_level(level)
    now = level or str(before)
    if settings.json:
        print_json({"level": now} if level is None else {"level": now, "before": before})
    else:
        print(now if level is None else f"{now}, before {before}")
