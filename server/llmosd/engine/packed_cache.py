"""Packed weights on disk: packed/<key>/arrays.safetensors, a cache that is safe to delete."""

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from llmosd.engine.packing import FORMAT, Arrays

_NAME = "arrays.safetensors"


def load_or_pack(folder: str, key: str, pack: Callable[[], Arrays]) -> Arrays:
    """Arrays of `key`, from `folder` where they are, else from `pack`, and kept for next time.

    A file that cannot be read is made anew. A full disk costs the next load its speed, no more.
    With folder "" nothing is kept.
    """
    if not folder:
        return pack()
    path = Path(folder) / f"{key}-{FORMAT}" / _NAME
    with contextlib.suppress(OSError, SafetensorError):
        return load_file(path)
    arrays = pack()
    partial = path.with_name(f"{secrets.token_hex(4)}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(arrays, partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        # Renamed whole: neither a kill nor a power cut leaves half a file of that name.
        partial.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink()
    return arrays
