"""llmos import: a model from a file or a folder of this machine."""

import time
from pathlib import Path

import click

from llmos_client.cli.completion import complete_model
from llmos_client.cli.options import Command, Settings, pass_settings


@click.command("import", cls=Command)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", metavar="ID", help="The model's name; from the path by default.")
@click.option("--license", "license_", metavar="SPDX", default="", help="As Apache-2.0.")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16", "bfloat16"]),
    help="How weights are kept; as they are by default.",
)
@click.option(
    "--alias", default="", metavar="NAME", help="The new version's alias, as candidate; else live."
)
@click.option(
    "--base",
    default="",
    metavar="MODEL",
    shell_complete=complete_model,
    help="What an adapter of the peft library changes.",
)
@pass_settings
def command(
    settings: Settings,
    path: Path,
    name: str | None,
    license_: str,
    dtype: str | None,
    alias: str,
    base: str,
) -> None:
    """Install a .gguf file, a folder as on the Hugging Face Hub, or an adapter as peft saves it."""
    from llmos_client.cli.install import Plan, install, print_installed
    from llmos_client.cli.progress import open_progress
    from llmos_client.fetch.folder import find_model_files
    from llmos_client.fetch.naming import check_model_id, derive_model_id
    from llmos_client.upload import read_files

    began = time.monotonic()
    found = find_model_files(path)
    if found.adapter and not base:
        raise click.UsageError(f'"{path.name}" is an adapter: name the model it changes by --base')
    if base and not found.adapter:
        raise click.UsageError(f'"{path.name}" is no adapter of the peft library: leave out --base')
    model_id = check_model_id(name) if name else derive_model_id(path.resolve().name)
    with open_progress(quiet=settings.json) as progress, settings.client() as client:
        # Before the hashing, which takes a while: is anybody there?
        client.server_info()
        files = read_files(found.paths, progress)
        digest = f"#sha256:{files[0].sha256}" if found.format == "gguf" else ""
        source = f"file:{path.resolve().name}{digest}"
        plan = Plan(model_id, files, found.format, license_, source, dtype, alias, base)
        version = install(client, plan, progress)
    print_installed(settings, version, began)
