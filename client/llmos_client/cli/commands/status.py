"""llmos status: is the daemon there, and how is it?"""

import click

from llmos_client.cli.options import Command, Settings, pass_settings


@click.command("status", cls=Command)
@pass_settings
def command(settings: Settings) -> None:
    """Show the daemon: version, uptime, memory, models, health."""
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
