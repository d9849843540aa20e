"""llmos rm: remove a model, or one of its versions."""

import click

from llmos_client.cli.options import Command, Settings, model_argument, pass_settings


@click.command("rm", cls=Command)
@model_argument()
@click.option("-f", "--force", is_flag=True, help="Even if it is loaded: cancel what runs.")
@pass_settings
def command(settings: Settings, model: str, force: bool) -> None:
    """Remove MODEL with all its versions, or MODEL/versions/N alone."""
    from llmos_client.cli.output import print_json

    with settings.client() as client:
        if "/versions/" in model:
            client.delete_version(model, force=force)
        else:
            client.delete_model(model, force=force)
    if settings.json:
        print_json({"removed": model})
    else:
        print(f"removed {model}")
