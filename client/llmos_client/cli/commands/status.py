"""llmos status: is the daemon there, and how is it?"""

from typing import TYPE_CHECKING

import click

from llmos_client.cli.options import Command, Settings, pass_settings

if TYPE_CHECKING:
    from llmos_client.cli.monitoring import Thresholds

_MONITORED_TIMEOUT_SECONDS = 8.0  # Nagios gives a plugin ten


@click.command("status", cls=Command)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "nagios", "json"]),
    default="text",
    help="nagios, json: a verdict in one line; exit status 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.",
)
@click.option("--warn-queue", type=int, default=32, metavar="N", help="Requests that wait; 32.")
@click.option("--crit-queue", type=int, default=128, metavar="N", help="The same; 128.")
@click.option("--warn-memory", type=float, default=10.0, metavar="PERCENT", help="Free; 10.")
@click.option("--crit-memory", type=float, default=5.0, metavar="PERCENT", help="The same; 5.")
@pass_settings
def command(
    settings: Settings,
    form: str,
    warn_queue: int,
    crit_queue: int,
    warn_memory: float,
    crit_memory: float,
) -> int:
    """Show the daemon: version, uptime, memory, models, health; or a verdict for monitoring."""
    if form != "text":
        from llmos_client.cli.monitoring import Thresholds

        limits = Thresholds(warn_queue, crit_queue, warn_memory, crit_memory)
        return _verdict(settings, form, limits)
    _show(settings)
    return 0


def _verdict(settings: Settings, form: str, limits: "Thresholds") -> int:
    from llmos_client.cli.monitoring import judge
    from llmos_client.cli.output import print_json_line

    with settings.client(timeout=_MONITORED_TIMEOUT_SECONDS) as client:
        verdict = judge(client, limits)
    print_json_line(verdict.plain()) if form == "json" else print(verdict.line())
    return verdict.code


def _show(settings: Settings) -> None:
    from llmos_client.cli.output import human_bytes, human_seconds, print_fields, print_json

    with settings.client() as client:
        info = client.server_info()
        health = client.health()
        address = str(client.address)
    if settings.json:
        print_json({"address": address, "health": health, "server": info})
        return
    print_fields(
        [
            ("address", address),
            ("health", str(health)),
            ("version", f"{info.version} ({', '.join(info.api_versions)})"),
            ("pid", str(info.pid)),
            ("uptime", human_seconds(info.uptime)),
            ("cpus", str(info.cpu_count)),
            (
                "memory",
                (
                    f"{human_bytes(info.resident_bytes)} used by llmos,"
                    f" {human_bytes(info.memory_available_bytes)} available"
                    f" of {human_bytes(info.memory_total_bytes)}"
                ),
            ),
            ("models", f"{info.models_loaded} loaded"),
            ("generations", str(info.generations)),
            ("architectures", ", ".join(info.architectures)),
        ]
    )
