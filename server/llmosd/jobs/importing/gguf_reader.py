"""Reading the structure of a GGUF file: metadata and where each tensor lies.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3,
little-endian. The file is a stranger's: every length is compared with what is left of the file
before it is used, so a bad file costs a message, not time or memory. No tensor is read here.
"""

import mmap
import os
import struct
from typing import NamedTuple, Self

from llmosd.errors import InvalidModelFile
from llmosd.jobs.importing.dequantize import BLOCKS
from llmosd.jobs.importing.strangers import shown

Scalar = int | float | bool | str
Value = Scalar | list["Value"]

MAX_TENSORS = 65_536
MAX_KEYS = 65_536
MAX_STRING = 16 * 1024 * 1024
MAX_ARRAY = 4 * 1024 * 1024
MAX_ITEMS = 8 * 1024 * 1024  # of all arrays together
MAX_NESTING = 2
_SMALLEST = 24
_MAX_NAME = 127
_MAX_DIMENSIONS = 4
_STRING, _ARRAY, _BOOL = 8, 9, 7

_SCALARS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<B"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_U32, _U64 = _SCALARS[4], _SCALARS[10]


class GgufTensor(NamedTuple):
    """Where a tensor lies: `offset` and `byte_size` in bytes, from the start of the file.

    `shape` is outermost dimension first, as numpy says it (the file says it the other way round);
    `kind` is a key of `dequantize.BLOCKS`.
    """

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int
    byte_size: int


class GgufFile:
    """An open file with its structure read. Use as a context manager.

    `metadata` are the key-value pairs, `tensors` by name in the file's order.
    """

    def __init__(self, path: str) -> None:
        """Read the structure; raises InvalidModelFile."""
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with _mapped(self._fd) as data:
                self.metadata, self.tensors = _Parser(data, len(data)).parse()
        except BaseException:
            os.close(self._fd)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def read(self, tensor: GgufTensor, start: int, size: int) -> bytes:
        """Read `size` bytes of a tensor from its byte `start`."""
        data = os.pread(self._fd, size, tensor.offset + start)
        if len(data) != size:
            raise InvalidModelFile(f"GGUF: the file ends within tensor {shown(tensor.name)}")
        return data


def _mapped(fd: int) -> mmap.mmap:
    size = os.fstat(fd).st_size
    if size < _SMALLEST:
        raise InvalidModelFile("GGUF: the file ends within its header")
    return mmap.mmap(fd, size, access=mmap.ACCESS_READ)


class _Parser:
    """A cursor over the file; each method reads one thing and moves on."""

    def __init__(self, data: mmap.mmap, size: int) -> None:
        self._data = data
        self._size = size
        self._at = 0
        self._items = 0

    def parse(self) -> tuple[dict[str, Value], dict[str, GgufTensor]]:
        self._header()
        tensor_count = self._count("tensors", MAX_TENSORS, at_least=24)
        key_count = self._count("metadata keys", MAX_KEYS, at_least=13)
        metadata: dict[str, Value] = {}
        for _ in range(key_count):
            key = self._string()
            if key in metadata:
                raise InvalidModelFile(f"GGUF: metadata key {shown(key)} comes twice")
            metadata[key] = self._value(self._u32(), 0)
        found = [self._tensor() for _ in range(tensor_count)]
        return metadata, self._place(found, _alignment(metadata))

    def _header(self) -> None:
        if self._take(4) != b"GGUF":
            raise InvalidModelFile('GGUF: the file does not start with "GGUF"')
        version = self._u32()
        if version in {0x02000000, 0x03000000}:
            raise InvalidModelFile("GGUF: big-endian files are not supported")
        if version not in {2, 3}:
            raise InvalidModelFile(f"GGUF: version {version} is not supported, only 2 and 3")

    def _tensor(self) -> GgufTensor:
        """Read one entry; its offset is still relative to the data section."""
        name = self._string()
        if not 0 < len(name) <= _MAX_NAME:
            raise InvalidModelFile(f"GGUF: tensor name {shown(name)} has {len(name)} characters")
        dimensions = self._u32()
        if not 1 <= dimensions <= _MAX_DIMENSIONS:
            raise InvalidModelFile(f"GGUF: tensor {shown(name)} has {dimensions} dimensions")
        shape = tuple(self._u64() for _ in range(dimensions))[::-1]
        kind, offset = self._u32(), self._u64()
        if kind not in BLOCKS:
            known = ", ".join(block.name for block in BLOCKS.values())
            raise InvalidModelFile(
                f"GGUF: tensor {shown(name)} has type {kind}; supported are {known}"
            )
        block = BLOCKS[kind]
        elements = 1
        for length in shape:
            elements *= length
        if not 0 < elements < 1 << 48:
            raise InvalidModelFile(f"GGUF: tensor {shown(name)} has an impossible shape")
        if shape[-1] % block.elements:
            raise InvalidModelFile(
                f"GGUF: rows of tensor {shown(name)} do not divide into {block.name} blocks"
            )
        return GgufTensor(name, shape, kind, offset, elements // block.elements * block.bytes)

    def _place(self, found: list[GgufTensor], alignment: int) -> dict[str, GgufTensor]:
        """Turn offsets into absolute ones, checked against the file and one another."""
        start = -(-self._at // alignment) * alignment
        tensors: dict[str, GgufTensor] = {}
        end = 0
        for tensor in sorted(found, key=lambda tensor: tensor.offset):
            name = shown(tensor.name)
            if tensor.offset % alignment:
                raise InvalidModelFile(f"GGUF: tensor {name} is not aligned to {alignment} bytes")
            if tensor.offset < end:
                raise InvalidModelFile(f"GGUF: tensor {name} overlaps another")
            end = tensor.offset + tensor.byte_size
            if start + end > self._size:
                raise InvalidModelFile(f"GGUF: tensor {name} reaches beyond the end of the file")
            if tensor.name in tensors:
                raise InvalidModelFile(f"GGUF: tensor {name} comes twice")
            tensors[tensor.name] = tensor._replace(offset=start + tensor.offset)
        return tensors

    def _value(self, kind: int, depth: int) -> Value:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            return self._array(depth + 1)
        if kind not in _SCALARS:
            raise InvalidModelFile(f"GGUF: unknown metadata type {kind}")
        (value,) = _SCALARS[kind].unpack(self._take(_SCALARS[kind].size))
        return bool(value) if kind == _BOOL else value

    def _array(self, depth: int) -> Value:
        if depth > MAX_NESTING:
            raise InvalidModelFile("GGUF: metadata arrays are nested too deeply")
        kind = self._u32()
        if kind == _STRING:
            return [self._string() for _ in range(self._items_of("strings", at_least=8))]
        if kind == _ARRAY:
            # Few: nobody nests, and empty arrays are large in memory for their size in the file.
            count = self._count("arrays", 4096, at_least=12)
            return [self._array(depth + 1) for _ in range(count)]
        if kind not in _SCALARS:
            raise InvalidModelFile(f"GGUF: unknown metadata type {kind}")
        size = _SCALARS[kind].size
        count = self._items_of("array items", at_least=size)
        code = _SCALARS[kind].format[1:]
        values = struct.unpack(f"<{count}{code}", self._take(count * size))
        return [bool(value) for value in values] if kind == _BOOL else list(values)

    def _items_of(self, what: str, at_least: int) -> int:
        count = self._count(what, MAX_ARRAY, at_least)
        self._items += count
        if self._items > MAX_ITEMS:
            raise InvalidModelFile(f"GGUF: the metadata holds more than {MAX_ITEMS} array items")
        return count

    def _count(self, what: str, most: int, at_least: int) -> int:
        """Read a number of things of which each takes `at_least` bytes."""
        count = self._u64()
        if count > most:
            raise InvalidModelFile(f"GGUF: {count} {what}, more than {most}")
        if count * at_least > self._size - self._at:
            raise InvalidModelFile(f"GGUF: {count} {what} reach beyond the end of the file")
        return count

    def _string(self) -> str:
        length = self._u64()
        if length > MAX_STRING:
            raise InvalidModelFile(f"GGUF: a string of {length} bytes, more than {MAX_STRING}")
        try:
            return self._take(length).decode()
        except UnicodeDecodeError:
            raise InvalidModelFile("GGUF: a string is not UTF-8") from None

    def _u32(self) -> int:
        (value,) = _U32.unpack(self._take(4))
        return int(value)

    def _u64(self) -> int:
        (value,) = _U64.unpack(self._take(8))
        return int(value)

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if end > self._size:
            raise InvalidModelFile("GGUF: the file ends within its header")
        data = self._data[self._at : end]
        self._at = end
        return data


def _alignment(metadata: dict[str, Value]) -> int:
    value = metadata.get("general.alignment", 32)
    if not isinstance(value, int) or not 8 <= value <= 65536 or value & (value - 1):
        raise InvalidModelFile(f"GGUF: general.alignment is {value!r:.32}, not a power of two")
    return value
