"""llmos version: of this client, and of the daemon if one answers."""

import click

from llmos_client.cli.options import Command, Settings, pass_settings


@click.command("version", cls=Command)
@pass_settings
def command(settings: Settings) -> None:
    """Show the versions of client and daemon."""
    from importlib.metadata import version

    from llmos_client.cli.output import print_json
    from llmos_client.errors import LlmosError

    own = version("llmos")
    daemon: str | None
    with settings.client(timeout=1.0) as client:
        try:
            daemon = client.server_info().version
        except LlmosError:
            daemon = None
        address = str(client.address)
    if settings.json:
        print_json({"client": own, "daemon": daemon, "address": address})
        return
    print(f"llmos {own}")
    print(f"llmosd {daemon} at {address}" if daemon else f"no daemon answers at {address}")
