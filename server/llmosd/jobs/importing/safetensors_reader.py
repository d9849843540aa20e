"""Reading the structure of a safetensors file, more strictly than the library does.

Format: https://github.com/huggingface/safetensors#format. The library accepts doubled keys and any
number of tensors; here the header is small, each name comes once, and the tensors cover the data
exactly. Nothing is allocated for a tensor until its bytes are known to be in the file.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from llmosd.errors import InsufficientMemory, InvalidModelFile
from llmosd.jobs.importing.json_files import Object, parse_object
from llmosd.jobs.importing.strangers import shown
from llmosd.jobs.importing.weights import ITEM_BYTES, NUMPY, PIECE, Weight
from llmosd.store.manifest import Dtype

MAX_HEADER = 16 * 1024 * 1024
MAX_TENSORS = 65_536
_MAX_DIMENSIONS = 8

# Those that a weight may have. The others occur in tensors that are left out, such as masks.
_DTYPES: dict[str, Dtype] = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_SIZES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U64": 8,
    "U32": 4,
    "U16": 2,
    "U8": 1,
    "BOOL": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
}


class StoredTensor(NamedTuple):
    """One entry: `begin` and `end` in bytes from the start of the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class SafetensorsFile:
    """An open file with its header read. Use as a context manager."""

    def __init__(self, path: Path, name: str, memory_bytes: int) -> None:
        """Read and check the header.

        Raises InvalidModelFile, and InsufficientMemory for a tensor that claims more than
        `memory_bytes`, whether or not the file has them.
        """
        self.name = name
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.tensors = self._read_header(memory_bytes)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def weight(self, name: str) -> Weight:
        """A tensor as a Weight; raises InvalidModelFile where its type cannot be a weight's."""
        tensor = self.tensors[name]
        if tensor.dtype not in _DTYPES:
            raise InvalidModelFile(
                f"{self.name}: tensor {shown(name)} has type {tensor.dtype}; supported are "
                f"{', '.join(_DTYPES)}"
            )
        dtype = _DTYPES[tensor.dtype]

        def pieces() -> Iterator[NDArray[Any]]:
            step = PIECE * ITEM_BYTES[dtype]
            for at in range(tensor.begin, tensor.end, step):
                size = min(step, tensor.end - at)
                data = os.pread(self._fd, size, at)
                if len(data) != size:
                    raise InvalidModelFile(f"{self.name}: the file ends within {shown(name)}")
                yield np.frombuffer(data, NUMPY[dtype])

        return Weight(tensor.shape, dtype, pieces)

    def _read_header(self, memory_bytes: int) -> dict[str, StoredTensor]:
        size = os.fstat(self._fd).st_size
        start = os.pread(self._fd, 8, 0)
        if len(start) < 8:
            raise InvalidModelFile(f"{self.name}: too short for a safetensors file")
        (length,) = struct.unpack("<Q", start)
        if length > MAX_HEADER:
            raise InvalidModelFile(
                f"{self.name}: a header of {length} bytes, more than {MAX_HEADER}"
            )
        if 8 + length > size:
            raise InvalidModelFile(f"{self.name}: the file ends within its header")
        text = os.pread(self._fd, length, 8)
        # Before parsing, which takes ten times the header's memory.
        if text.count(b"data_offsets") > MAX_TENSORS:
            raise InvalidModelFile(f"{self.name}: more than {MAX_TENSORS} tensors")
        header = parse_object(text, self.name)
        _check_metadata(header.pop("__metadata__", {}), self.name)
        tensors = {
            name: _entry(self.name, name, entry, memory_bytes) for name, entry in header.items()
        }
        _check_cover(self.name, tensors, size - 8 - length)
        base = 8 + length
        return {
            name: tensor._replace(begin=base + tensor.begin, end=base + tensor.end)
            for name, tensor in tensors.items()
        }


def _check_metadata(metadata: object, file: str) -> None:
    if not isinstance(metadata, dict) or not all(
        isinstance(value, str) for value in metadata.values()
    ):
        raise InvalidModelFile(f"{file}: __metadata__ is not a map of texts")


def _entry(file: str, name: str, entry: Object, memory_bytes: int) -> StoredTensor:
    """Check one entry by itself; its offsets are relative to the data."""
    where = f"{file}: tensor {shown(name)}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise InvalidModelFile(f"{where} needs dtype, shape and data_offsets, and nothing else")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _SIZES:
        raise InvalidModelFile(f"{where} has the unknown type {shown(str(dtype))}")
    if not _naturals(shape) or len(shape) > _MAX_DIMENSIONS:
        raise InvalidModelFile(f"{where} has a shape that is none")
    if not _naturals(offsets) or len(offsets) != 2:
        raise InvalidModelFile(f"{where} has data_offsets that are none")
    size = _SIZES[dtype]
    for length in shape:
        size *= length
    if size >= 1 << 63:
        raise InvalidModelFile(f"{where} has an impossible shape")
    if size > memory_bytes:
        raise InsufficientMemory(
            f"{where} takes {size} bytes; the memory has {memory_bytes}",
            metadata={"needed_bytes": str(size), "available_bytes": str(memory_bytes)},
        )
    if offsets[1] - offsets[0] != size:
        raise InvalidModelFile(f"{where} has data_offsets that do not fit its shape and type")
    return StoredTensor(dtype, tuple(shape), offsets[0], offsets[1])


def _naturals(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, int) and not isinstance(item, bool) and item >= 0 for item in value
    )


def _check_cover(file: str, tensors: dict[str, StoredTensor], size: int) -> None:
    """The tensors must lie one after another, without a hole, to the end of the file."""
    end = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin != end:
            raise InvalidModelFile(
                f"{file}: tensor {shown(name)} overlaps another, or leaves a hole before it"
            )
        end = tensor.end
    if end != size:
        raise InvalidModelFile(
            f"{file}: the tensors take {end} bytes, but the file has {size} for them"
        )
