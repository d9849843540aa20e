"""llmos list: what is installed."""

import click

from llmos_client.cli.options import Command, Settings, pass_settings


@click.command("list", cls=Command)
@pass_settings
def command(settings: Settings) -> None:
    """List the installed models."""
    from llmos_client.cli.output import (
        human_bytes,
        human_count,
        note,
        print_json,
        print_table,
    )

    with settings.client() as client:
        models = client.list_models()
    if settings.json:
        print_json({"models": models})
        return
    if not models:
        note("No models yet. Try: llmos pull")
        return
    rows = []
    for model in models:
        live = model.live
        details = ("-", "-", "-", "-", "-", "-")
        if live is not None:
            details = (
                str(live.number),
                live.architecture,
                human_count(live.parameter_count),
                human_bytes(live.byte_size),
                str(live.residency.state),
                live.license or "-",
            )
        rows.append((model.id, *details))
    headers = ("NAME", "LIVE", "ARCHITECTURE", "PARAMETERS", "SIZE", "STATE", "LICENSE")
    print_table(headers, rows)
