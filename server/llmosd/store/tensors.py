"""What a version's weights are, from the header of their file; no weight is read.

Format: https://github.com/huggingface/safetensors#format.
"""

import os
import struct
from typing import NamedTuple

import msgspec

from llmosd.errors import DataCorrupt
from llmosd.store.manifest import ADAPTER_WEIGHTS, WEIGHTS
from llmosd.store.versions import VersionStore

# What the format's own readers allow.
_LARGEST_HEADER = 100 * 1000 * 1000
_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "I8": "int8", "U8": "uint8"}


class TensorInfo(NamedTuple):
    """A weight's name, shape and type."""

    name: str
    shape: list[int]
    dtype: str


class _Entry(msgspec.Struct, frozen=True):
    dtype: str
    shape: list[int]


def list_tensors(store: VersionStore, model_id: str, version: int) -> list[TensorInfo]:
    """The tensors of a version, or of its adapter. Raises DataCorrupt, UnsafeFile."""
    files = store.manifest(model_id, version).files
    name = WEIGHTS if WEIGHTS in files else ADAPTER_WEIGHTS
    with os.fdopen(store.open_file(model_id, version, name), "rb") as file:
        length = file.read(8)
        size = struct.unpack("<Q", length)[0] if len(length) == 8 else _LARGEST_HEADER + 1
        header = file.read(size) if size <= _LARGEST_HEADER else b""
    try:
        entries = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        entries.pop("__metadata__", None)
        found = {each: msgspec.json.decode(raw, type=_Entry) for each, raw in entries.items()}
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataCorrupt(f'file "{name}" of the model is damaged: {error}') from None
    return [
        TensorInfo(each, entry.shape, _DTYPES.get(entry.dtype, entry.dtype.lower()))
        for each, entry in found.items()
    ]
