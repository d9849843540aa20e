"""Writing a GGUF file as a stream: header, metadata, table of tensors, then one after the other."""

import os
import shutil
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmosd.errors import InsufficientDisk
from llmosd.jobs.exporting.quantize import BLOCK, BLOCK_BYTES, q8_0
from llmosd.jobs.importing.weights import ITEM_BYTES, Weight, checked_pieces
from llmosd.progress import Progress
from llmosd.store.manifest import Dtype

ALIGNMENT = 32
_VERSION = 3
_SPARE = 64 * 1024 * 1024
_WRITE_BACK = 64 * 1024 * 1024
# ggml_type and gguf_metadata_value_type of the format's description.
_KINDS = {"float32": 0, "float16": 1, "q8_0": 8, "bfloat16": 30}
_U32, _I32, _F32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9

Scalar = int | float | bool | str
Value = Scalar | list[Any]


class Tensor(NamedTuple):
    """One tensor: its bytes come from `pieces`, in order."""

    name: str
    shape: tuple[int, ...]
    kind: int
    byte_size: int
    pieces: Callable[[], Iterator[bytes | memoryview]]


def tensor_of(name: str, weight: Weight, dtype: str | None) -> Tensor:
    """A weight as a tensor: matrices of `dtype` (None: as it is kept), vectors in float32.

    llama.cpp adds and normalizes in float32, and wants those vectors so. Rows that do not divide
    into the blocks of Q8_0 stay float32.
    """
    if len(weight.shape) == 1 or (dtype == "q8_0" and weight.shape[-1] % BLOCK):
        dtype = "float32"
    if dtype == "q8_0":
        size = weight.size // BLOCK * BLOCK_BYTES
        return Tensor(name, weight.shape, _KINDS[dtype], size, lambda: _blocks(name, weight))
    kept: Dtype = _STORED[dtype or weight.dtype]

    def pieces() -> Iterator[memoryview]:
        for piece in checked_pieces(name, weight, kept):
            yield np.ascontiguousarray(piece).view(np.uint8).data

    size = weight.size * ITEM_BYTES[kept]
    return Tensor(name, weight.shape, _KINDS[kept], size, pieces)


_STORED: dict[str, Dtype] = {"float32": "float32", "float16": "float16", "bfloat16": "bfloat16"}


def _blocks(name: str, weight: Weight) -> Iterator[bytes]:
    """Pieces may end within a block: what is left over begins the next one."""
    rest: NDArray[np.float32] = np.empty(0, np.float32)
    for piece in checked_pieces(name, weight, "float32"):
        values = np.concatenate([rest, piece]) if rest.size else piece
        whole = values.size // BLOCK * BLOCK
        rest = values[whole:]
        yield q8_0(values[:whole])
    assert not rest.size, "rows divide into blocks"


class GgufWriter:
    """One file. `metadata` by key; a list holds strings, whole numbers or numbers alike."""

    def __init__(self, metadata: Mapping[str, Value], tensors: list[Tensor]) -> None:
        self._metadata = metadata
        self._tensors = tensors

    def write(self, path: Path, progress: Progress) -> None:
        """Write and fsync it; reports the stage "weights" in bytes. Raises InsufficientDisk."""
        header = self._header()
        header += b"\0" * (-len(header) % ALIGNMENT)
        total = sum(_padded(tensor.byte_size) for tensor in self._tensors)
        free = shutil.disk_usage(path.parent).free
        if len(header) + total + _SPARE > free:
            raise InsufficientDisk(
                f"the file needs {len(header) + total} bytes of disk, and {free} are free",
                metadata={
                    "needed_bytes": str(len(header) + total),
                    "available_bytes": str(free),
                },
            )
        done = unsynced = 0
        with path.open("xb") as file:
            file.write(header)
            for tensor in self._tensors:
                for data in tensor.pieces():
                    progress.check_cancelled()
                    file.write(data)
                    done += len(data)
                    unsynced += len(data)
                    if unsynced >= _WRITE_BACK:
                        os.fdatasync(file.fileno())
                        unsynced = 0
                    progress.report("weights", done, total, "bytes")
                file.write(b"\0" * (_padded(tensor.byte_size) - tensor.byte_size))
            file.flush()
            os.fsync(file.fileno())

    def _header(self) -> bytes:
        parts = [b"GGUF", struct.pack("<IQQ", _VERSION, len(self._tensors), len(self._metadata))]
        for key, value in self._metadata.items():
            parts += [_string(key), _value(value)]
        offset = 0
        for tensor in self._tensors:
            shape = tensor.shape[::-1]  # innermost first
            parts.append(_string(tensor.name) + struct.pack("<I", len(shape)))
            parts.append(struct.pack(f"<{len(shape)}QIQ", *shape, tensor.kind, offset))
            offset += _padded(tensor.byte_size)
        return b"".join(parts)


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Value) -> bytes:
    """A value with its type before it."""
    if isinstance(value, bool):
        return struct.pack("<I?", _BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", _U32, value)
    if isinstance(value, float):
        return struct.pack("<If", _F32, value)
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + _string(value)
    kind, items = _array(value)
    return struct.pack("<IIQ", _ARRAY, kind, len(value)) + items


def _array(values: list[Any]) -> tuple[int, bytes]:
    if isinstance(values[0], str):
        return _STRING, b"".join(map(_string, values))
    if isinstance(values[0], float):
        return _F32, struct.pack(f"<{len(values)}f", *values)
    return _I32, struct.pack(f"<{len(values)}i", *values)
