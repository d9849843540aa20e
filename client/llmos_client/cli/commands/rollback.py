"""llmos rollback: let an alias mean again what it meant before."""

import click

from llmos_client.cli.options import Command, Settings, model_argument, pass_settings


@click.command("rollback", cls=Command)
@model_argument()
@click.option("--alias", default="", metavar="NAME", help="Which alias; live by default.")
@pass_settings
def command(settings: Settings, model: str, alias: str) -> None:
    """Take the last move of an alias back."""
    from llmos_client.cli.output import print_json
    from llmos_client.cli.progress import open_progress

    with settings.client() as client, open_progress(quiet=settings.json) as progress:
        result = client.roll_back(model, alias=alias, on_progress=progress).result()
    if settings.json:
        print_json({"rollback": result})
    elif result.promotion is not None:
        undone = result.promotion
        print(f"{undone.alias}: {undone.version} -> {result.version.name}")
