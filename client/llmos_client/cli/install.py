"""What `pull` and `import` share: send the files, watch the conversion, say what came of it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from llmos_client.cli.options import Settings
from llmos_client.cli.output import human_bytes, print_json
from llmos_client.cli.progress import Progress
from llmos_client.client import Client
from llmos_client.results import ModelVersion, Operation
from llmos_client.upload import LocalFile

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Plan:
    """A model to install: its files and what the daemon shall note about them."""

    model_id: str
    files: Sequence[Path | LocalFile]
    format: str
    license: str
    source: str
    dtype: str | None = None
    alias: str = ""
    base: str = ""
    sampling: Mapping[str, float] = field(default_factory=dict)


def install(client: Client, plan: Plan, progress: Progress) -> ModelVersion:
    """Upload and convert; an interrupt cancels what the daemon has begun."""
    operation = client.upload_model(
        plan.model_id,
        plan.files,
        model_format=plan.format,
        license=plan.license,
        source=plan.source,
        dtype=plan.dtype,
        sampling=plan.sampling,
        alias=plan.alias,
        base=plan.base,
        on_progress=progress,
    )
    return wait_or_cancel(client, operation, progress)


def wait_or_cancel(client: Client, operation: Operation[R], progress: Progress) -> R:
    """Wait for what comes of an operation; on Ctrl-C cancel it first."""
    try:
        return client.wait_operation(operation, progress).result()
    except KeyboardInterrupt:
        client.cancel_operation(operation.name)
        raise


def print_installed(settings: Settings, version: ModelVersion, began: float) -> None:
    """Say what was installed, how large it is and how long it took."""
    seconds = time.monotonic() - began
    if settings.json:
        print_json({"installed": True, "version": version, "seconds": round(seconds, 3)})
        return
    size = human_bytes(version.byte_size)
    print(f"installed {version.name}: {size}, {version.dtype}, in {seconds:.1f} s")
    print(f'Try: llmos run {version.model} "Hello"')
