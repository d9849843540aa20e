"""AMX's tiles as LLVM code: eight registers of up to 16 rows of 64 bytes (Intel SDM)."""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from llmos_kernels.aligned import LINE

TILE_ROWS = 16
_BYTE, _LONG = ir.IntType(8), ir.IntType(64)


def begin(
    builder: Any, rows: Sequence[int] = (TILE_ROWS,) * 8, widths: Sequence[int] = (LINE,) * 8
) -> None:
    """Give the thread its tiles, each of so many rows of so many bytes.

    Takes some 60 ns, as long as a dozen products: not for every block of them.
    """
    config = bytes([1] + [0] * 15)  # palette 1
    config += b"".join(width.to_bytes(2, "little") for width in widths) + bytes(16)
    config += bytes(rows) + bytes(8)
    place = cgutils.alloca_once(builder, ir.ArrayType(_BYTE, LINE))
    place.align = LINE
    builder.store(ir.Constant(ir.ArrayType(_BYTE, LINE), bytearray(config)), place)
    _call(builder, "ldtilecfg", builder.bitcast(place, _BYTE.as_pointer()))


def end(builder: Any) -> None:
    """Take them back: Linux saves 8 KiB less when it stops the thread."""
    _call(builder, "tilerelease")


def load(builder: Any, tile: int, address: Any, stride: Any) -> None:
    """Rows that lie `stride` bytes apart."""
    _call(builder, "tileloadd64", _BYTE(tile), address, _long(stride))


def clear(builder: Any, tile: int) -> None:
    """Zeros; by a load, as `tilezero` waits for the tile's last use."""
    kind = ir.ArrayType(_BYTE, LINE)
    with builder.goto_entry_block():
        zeros = builder.alloca(kind)
        zeros.align = LINE
        builder.store(ir.Constant(kind, bytearray(LINE)), zeros)
        place = builder.bitcast(zeros, _BYTE.as_pointer())
    load(builder, tile, place, 0)


def store(builder: Any, tile: int, address: Any, stride: Any) -> None:
    """Write rows that lie `stride` bytes apart."""
    _call(builder, "tilestored64", _BYTE(tile), address, _long(stride))


def multiply(builder: Any, name: str, sums: int, rows: int, columns: int) -> None:
    """Add products to a tile of sums, by the instruction `name`."""
    _call(builder, name, _BYTE(sums), _BYTE(rows), _BYTE(columns))


def _long(value: Any) -> Any:
    return _LONG(value) if isinstance(value, int) else value


def _call(builder: Any, name: str, *arguments: Any) -> None:
    kind = ir.FunctionType(ir.VoidType(), [each.type for each in arguments])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}")
    builder.call(function, arguments)
