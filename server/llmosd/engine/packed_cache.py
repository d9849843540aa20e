"""Packed weights on disk: packed/<key>/arrays.safetensors, a cache that is safe to delete."""

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from llmos_kernels.aligned import realigned
from llmosd.engine.packing import FORMAT, Arrays

_NAME = "arrays.safetensors"


def load_or_pack(folder: str, key: str, pack: Callable[[], Arrays]) -> Arrays:
    """Arrays of `key`, from `folder` where they are, else from `pack`, and kept for next time.

    A file that cannot be read is made anew. A full disk costs the next load its speed, no more.
    With folder "" nothing is kept.
    """
    if not folder:
        return _placed(pack())
    path = Path(folder) / f"{key}-{FORMAT}" / _NAME
    with contextlib.suppress(OSError, SafetensorError):
        return _placed(load_file(path))
    arrays = _placed(pack())
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


def _placed(arrays: Arrays) -> Arrays:
    """The same arrays in memory of the kernels' own: in cache lines and huge pages.

    Weights are read in whole for every token. Measured, two threads read them a fifth faster than
    from pages of 4 KiB, which is what safetensors' buffers are made of.
    """
    for name in list(arrays):
        arrays[name] = realigned(arrays[name])  # one at a time: never all of them twice
    return arrays
