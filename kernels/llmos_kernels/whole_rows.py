"""Activations as rows of sixteen-bit numbers, each in two planes of bytes, for a matrix unit.

Symmetric: number = round(value * PEAK / peak), ties to even; number = 256 * high + low, both int8.
That is twice the products of `quantize`, but a whole row has one scale, so that a sum is exact in
int32 from the first feature to the last: groups, which have to be scaled and added up one by one,
take a matrix unit four times as long as their products. Sixteen bits have room for a row's outliers
and for the rest. Twin: reference.quantize_whole.
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from llmos_kernels import _vector as vec
from llmos_kernels._dot import WORDS
from llmos_kernels._jit import LANES, address, inlined
from llmos_kernels._tiles import TILE_ROWS
from llmos_kernels.aligned import aligned
from llmos_kernels.quantize import GROUP

PEAK = 127 * 256 + 127
ROW_TILE = TILE_ROWS
PLANES = 2
PLANE_BYTES = ROW_TILE * GROUP
GROUP_BYTES = PLANES * PLANE_BYTES
_BYTE, _WORD, _LONG = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_BYTES = ir.VectorType(_BYTE, LANES)


class WholeRows(NamedTuple):
    """Rows of sixteen-bit numbers, padded to whole groups, and what products with them need.

    numbers: (row tiles, groups, PLANES, ROW_TILE, GROUP) int8, high plane and low plane: value =
    (256 * high + low) * scale. scales: (rows,) float32. offsets: (PLANES, rows, LANES) int32, in
    every lane -128 times the sum of a row's plane: weights are stored 128 too high.
    """

    numbers: NDArray[np.int8]
    scales: NDArray[np.float32]
    offsets: NDArray[np.int32]


def whole_rows(rows: int, features: int) -> WholeRows:
    """Room for `rows` rows of `features` features; padding is and stays zero."""
    row_tiles, groups = -(-rows // ROW_TILE), -(-features // GROUP)
    return WholeRows(
        aligned((row_tiles, groups, PLANES, ROW_TILE, GROUP), np.int8),
        aligned((row_tiles * ROW_TILE,), np.float32),
        aligned((PLANES, row_tiles * ROW_TILE, LANES), np.int32),
    )


@inlined
def numbers_of(x: Any, row: Any) -> Any:
    """The address of a row's first high byte."""
    tile, within = row // ROW_TILE, row % ROW_TILE
    return address(x.numbers, tile * x.numbers.shape[1] * GROUP_BYTES + within * GROUP)


@inlined
def quantize_whole(values: Any, row: Any, out: Any) -> None:
    """Quantize `values` (padded,) float32, contiguous, zero in its padding, into a row of `out`."""
    _quantize_whole(
        address(values, 0),
        np.int64(values.shape[0]),
        numbers_of(out, row),
        address(out.scales, row),
        address(out.offsets, row * LANES),
        np.int64(out.offsets.shape[1] * LANES),
    )


@intrinsic
def _whole_of(
    _context: Any, values: Any, count: Any, numbers: Any, scale: Any, offsets: Any, plane: Any
) -> Any:
    """Quantize a row; all arguments but `count` and `plane`, a plane's offsets, are addresses."""

    def codegen(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        values, count, numbers, scale, offsets, plane = arguments
        source = vec.float_pointer(builder, values)
        inverse = _scale(builder, source, count, scale)
        for index, total in enumerate(_split(builder, source, count, inverse, numbers)):
            offset = builder.mul(vec.reduce_words(builder, total, "add"), _WORD(-128))
            at = builder.add(offsets, builder.mul(plane, _LONG(4 * index)))
            target = builder.inttoptr(at, WORDS.as_pointer())
            builder.store(vec.splat_word(builder, offset), target, align=4)
        return ir.Constant(_LONG, 0)

    return types.int64(values, count, numbers, scale, offsets, plane), codegen


_quantize_whole: Any = _whole_of


def _scale(builder: Any, source: Any, count: Any, scale: Any) -> Any:
    """Write the row's scale; returns its inverse, in all lanes."""
    largest = cgutils.alloca_once_value(builder, ir.Constant(WORDS, [0] * LANES))
    with cgutils.for_range_slice(builder, _LONG(0), count, _LONG(LANES), _LONG) as (at, _):
        bits = vec.magnitude(builder, vec.load(builder, source, at))
        before = builder.load(largest)
        larger = builder.icmp_signed(">", bits, before)
        builder.store(builder.select(larger, bits, before), largest)
    peak = builder.bitcast(vec.reduce_words(builder, builder.load(largest), "smax"), vec.FLOAT)
    zero, top = ir.Constant(vec.FLOAT, 0.0), ir.Constant(vec.FLOAT, float(PEAK))
    builder.store(builder.fdiv(peak, top), vec.float_pointer(builder, scale))
    silent = builder.fcmp_ordered("==", peak, zero)
    return vec.splat(builder, builder.select(silent, zero, builder.fdiv(top, peak)))


def _split(builder: Any, source: Any, count: Any, inverse: Any, numbers: Any) -> list[Any]:
    """Write both planes; returns their sums, lane by lane."""
    target = builder.inttoptr(numbers, _BYTE.as_pointer())
    none = ir.Constant(WORDS, [0] * LANES)
    sums = [cgutils.alloca_once_value(builder, none) for _ in range(PLANES)]
    half, eight = ir.Constant(WORDS, [128] * LANES), ir.Constant(WORDS, [8] * LANES)
    with cgutils.for_range_slice(builder, _LONG(0), count, _LONG(LANES), _LONG) as (at, _):
        value = builder.fmul(vec.load(builder, source, at), inverse)
        words = vec.round_words(builder, value)
        high = builder.ashr(builder.add(words, half), eight)
        low = builder.sub(words, builder.shl(high, eight))
        within = builder.and_(at, _LONG(GROUP - 1))
        group = builder.mul(builder.sub(at, within), _LONG(GROUP_BYTES // GROUP))
        for plane, (part, total) in enumerate(zip((high, low), sums, strict=True)):
            where = builder.add(builder.add(group, within), _LONG(plane * PLANE_BYTES))
            place = builder.bitcast(builder.gep(target, [where]), _BYTES.as_pointer())
            builder.store(builder.trunc(part, _BYTES), place, align=1)
            builder.store(builder.add(builder.load(total), part), total)
    return [builder.load(total) for total in sums]
