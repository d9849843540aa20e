"""Writing model.safetensors as a stream: the header first, then weight after weight.

Format: https://github.com/huggingface/safetensors#format. One weight's piece is in memory at a
time, and the digest is made on the way, so the file is never read back.
"""

import hashlib
import os
import shutil
import struct
from pathlib import Path

import msgspec
import numpy as np

from llmosd.errors import InsufficientDisk
from llmosd.jobs.importing.weights import ITEM_BYTES, Weight, checked_pieces
from llmosd.progress import Progress
from llmosd.store.manifest import Dtype, FileEntry

_CODES: dict[Dtype, str] = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
_SPARE = 64 * 1024 * 1024
_WRITE_BACK = 64 * 1024 * 1024


def write_weights(
    path: Path, weights: dict[str, Weight], dtype: Dtype | None, progress: Progress
) -> FileEntry:
    """Write all weights, as they are or as `dtype`, and fsync the file.

    Reports the stage "weights" in bytes. Raises InsufficientDisk before the first byte, DataCorrupt
    at a number that is not finite, OperationCancelled.
    """
    header, total = _header(weights, dtype)
    _check_disk(path.parent, len(header) + total)
    digest = hashlib.sha256(header)
    done = unsynced = 0
    with path.open("xb") as file:
        file.write(header)
        for name, weight in weights.items():
            for piece in checked_pieces(name, weight, dtype or weight.dtype):
                progress.check_cancelled()
                data = piece.view(np.uint8).data
                digest.update(data)
                file.write(data)
                done += len(data)
                unsynced += len(data)
                if unsynced >= _WRITE_BACK:
                    # Or gigabytes of dirty pages would stall everybody's writes at the end.
                    os.fdatasync(file.fileno())
                    unsynced = 0
                progress.report("weights", done, total, "bytes")
        file.flush()
        os.fsync(file.fileno())
    return FileEntry(len(header) + total, digest.hexdigest())


def _header(weights: dict[str, Weight], dtype: Dtype | None) -> tuple[bytes, int]:
    """The header with its length before it, and the bytes of all weights."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, weight in weights.items():
        kind = dtype or weight.dtype
        end = offset + weight.size * ITEM_BYTES[kind]
        entries[name] = {
            "dtype": _CODES[kind],
            "shape": weight.shape,
            "data_offsets": (offset, end),
        }
        offset = end
    text = msgspec.json.encode(entries)
    # Weights start at a multiple of eight bytes; the format pads with spaces.
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, offset


def _check_disk(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed + _SPARE > free:
        raise InsufficientDisk(
            f"the model needs {needed} bytes of disk, and {free} are free",
            metadata={"needed_bytes": str(needed), "available_bytes": str(free)},
        )
