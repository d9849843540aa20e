"""llmos export: a version as files for other programs."""

import time
from pathlib import Path

import click

from llmos_client.cli.options import Command, Settings, model_argument, pass_settings


@click.command("export", cls=Command)
@model_argument()
@click.option(
    "--to",
    "target",
    required=True,
    type=click.Path(path_type=Path),
    help="A folder to be made, or a file whose name ends in .gguf.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["hugging_face", "gguf"]),
    help="By default as the target is named.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16", "bfloat16", "q8_0"]),
    help="Of the weights, q8_0 in GGUF alone; by default as they are kept.",
)
@pass_settings
def command(
    settings: Settings, model: str, target: Path, format_: str | None, dtype: str | None
) -> None:
    """Write a version as on the Hugging Face Hub, or as GGUF; an adapter as peft does."""
    from llmos_client.cli.output import human_bytes, print_json
    from llmos_client.cli.progress import open_progress

    began = time.monotonic()
    with settings.client() as client, open_progress(quiet=settings.json) as progress:
        done = client.export_model(
            model, target, model_format=format_, dtype=dtype, on_progress=progress
        )
    seconds = round(time.monotonic() - began, 3)
    if settings.json:
        print_json({"export": done, "seconds": seconds})
        return
    size = human_bytes(sum(file.byte_size for file in done.files))
    files = f"{len(done.files)} files, " if len(done.files) > 1 else ""
    print(f"wrote {done.model_version} to {done.path}: {files}{size}, in {seconds:.1f} s")
