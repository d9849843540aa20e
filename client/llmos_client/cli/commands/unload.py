"""llmos unload: end a model's process and show that the memory is back."""

import click

from llmos_client.cli.options import Command, Settings, model_argument, pass_settings


@click.command("unload", cls=Command)
@model_argument()
@click.option("-f", "--force", is_flag=True, help="Cancel what runs instead of letting it finish.")
@pass_settings
def command(settings: Settings, model: str, force: bool) -> None:
    """Unload a model from memory."""
    from llmos_client.cli.output import human_bytes, print_json
    from llmos_client.cli.progress import open_progress

    with settings.client() as client, open_progress(quiet=settings.json) as progress:
        operation = client.unload_model(model, force=force, on_progress=progress)
        unloaded = operation.result()
    if settings.json:
        print_json({"name": operation.target, "unload": unloaded})
        return
    print(
        f"unloaded {operation.target or model}: resident"
        f" {human_bytes(unloaded.resident_bytes_before)} before loading,"
        f" {human_bytes(unloaded.resident_bytes_loaded)} loaded,"
        f" {human_bytes(unloaded.resident_bytes_after)} now"
    )
