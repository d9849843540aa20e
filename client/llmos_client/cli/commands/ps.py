"""llmos ps: the models that have a process, or had one."""

from typing import TYPE_CHECKING

import click

from llmos_client.cli.options import Command, Settings, pass_settings

if TYPE_CHECKING:
    from llmos_client.results import ModelVersion

_HEADERS = (
    "NAME",
    "VERSION",
    "STATE",
    "PID",
    "RUNNER",
    "DTYPE",
    "SIZE",
    "KV",
    "RUNNING",
    "WAITING",
    "UNTIL",
)


@click.command("ps", cls=Command)
@pass_settings
def command(settings: Settings) -> None:
    """List loaded models: their processes, memory, caches and work."""
    from llmos_client.cli.output import note, print_json, print_table
    from llmos_client.results import ResidencyState

    away = (ResidencyState.UNLOADED, ResidencyState.UNSPECIFIED)
    with settings.client() as client:
        versions = [v for v in client.list_versions() if v.residency.state not in away]
    if settings.json:
        print_json({"versions": versions})
    elif versions:
        print_table(_HEADERS, [_row(version) for version in versions])
    else:
        note("Nothing is loaded. Try: llmos load MODEL")


def _row(version: "ModelVersion") -> tuple[str, ...]:
    from llmos_client.cli.output import human_bytes, until

    home = version.residency
    return (
        version.model,
        str(version.number),
        str(home.state),
        str(home.pid or "-"),
        home.runner or "-",
        home.dtype or "-",
        human_bytes(home.resident_bytes) if home.resident_bytes else "-",
        f"{home.kv_blocks_used / home.kv_blocks_total:.0%}" if home.kv_blocks_total else "-",
        str(home.running),
        str(home.waiting),
        until(home.expire_time) if home.pid else "-",
    )
