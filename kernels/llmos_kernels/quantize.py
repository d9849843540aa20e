"""Activations as int8 in groups of GROUP features, each group with its own scale.

Symmetric: number = round(value * 127 / peak), ties to even. Groups instead of whole rows, because
one outlier would cost all of a row's precision: perplexity of SmolLM2-135M rises by 3.5 % with one
scale per row and by 0.4 % with groups of 64. Twin: reference.quantize.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from llmos_kernels import _vector as vec
from llmos_kernels._dot import WORDS, choose_dot
from llmos_kernels._jit import LANES, address, inlined

GROUP = 64
HALF = GROUP // 2
PAIRED = choose_dot() == "avx2"


class Quantized(NamedTuple):
    """Rows of int8 numbers, padded to whole groups, and what products with them need.

    numbers: (rows, padded) int8. scales: (rows, groups) float32, value = number * scale.
    offsets: (rows, groups) int32, -128 times the group's sum: weights are stored 128 too high.
    sums: (rows, 2 * groups) float32, scale times the sum of each half group.
    pairs: (rows, padded) int16, the numbers in the order 0, 2, 1, 3 of every four, where the
        processor's products take them so; else (rows, 0).
    """

    numbers: NDArray[np.int8]
    pairs: NDArray[np.int16]
    scales: NDArray[np.float32]
    offsets: NDArray[np.int32]
    sums: NDArray[np.float32]


def quantized_rows(rows: int, features: int) -> Quantized:
    """Room for `rows` rows of `features` features; padding is and stays zero."""
    groups = -(-features // GROUP)
    return Quantized(
        np.zeros((rows, groups * GROUP), np.int8),
        np.zeros((rows, groups * GROUP if PAIRED else 0), np.int16),
        np.zeros((rows, groups), np.float32),
        np.zeros((rows, groups), np.int32),
        np.zeros((rows, 2 * groups), np.float32),
    )


@inlined
def quantize_groups(values: Any, row: Any, out: Any) -> None:
    """Quantize `values` (padded,) float32, contiguous, zero in its padding, into a row of `out`."""
    for group in range(values.shape[0] // GROUP):
        _quantize_group(
            address(values, group * GROUP),
            address(out.numbers, row * out.numbers.shape[1] + group * GROUP),
            address(out.pairs, row * out.pairs.shape[1] + group * GROUP),
            address(out.scales, row * out.scales.shape[1] + group),
            address(out.offsets, row * out.offsets.shape[1] + group),
            address(out.sums, row * out.sums.shape[1] + 2 * group),
        )


@intrinsic
def _group_of(
    _context: Any, values: Any, numbers: Any, pairs: Any, scale: Any, offset: Any, sums: Any
) -> Any:
    """Quantize GROUP floats; all arguments are addresses."""

    def codegen(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        _emit_group(builder, *arguments)
        return ir.Constant(ir.IntType(64), 0)

    return types.int64(values, numbers, pairs, scale, offset, sums), codegen


_quantize_group: Any = _group_of


def _emit_group(
    builder: Any, values: Any, numbers: Any, pairs: Any, scale: Any, offset: Any, sums: Any
) -> None:
    source = vec.float_pointer(builder, values)
    parts = [vec.load(builder, source, vec.INDEX(at)) for at in range(0, GROUP, LANES)]
    peak = _peak(builder, parts)
    zero, top = ir.Constant(vec.FLOAT, 0.0), ir.Constant(vec.FLOAT, 127.0)
    silent = builder.fcmp_ordered("==", peak, zero)
    inverse = builder.select(silent, zero, builder.fdiv(top, peak))
    size = builder.fdiv(peak, top)
    builder.store(size, vec.float_pointer(builder, scale))
    factor = vec.splat(builder, inverse)
    rounded = [vec.round_words(builder, builder.fmul(part, factor)) for part in parts]
    _put(builder, rounded, numbers, 8, range(LANES))
    if PAIRED:
        order = [four + at for four in range(0, LANES, 4) for at in (0, 2, 1, 3)]
        _put(builder, rounded, pairs, 16, order)
    halves = [vec.reduce_words(builder, builder.add(*rounded[at : at + 2]), "add") for at in (0, 2)]
    whole = builder.mul(builder.add(*halves), ir.IntType(32)(-128))
    builder.store(whole, builder.inttoptr(offset, ir.IntType(32).as_pointer()))
    place = vec.float_pointer(builder, sums)
    for index, half in enumerate(halves):
        weighted = builder.fmul(builder.sitofp(half, vec.FLOAT), size)
        builder.store(weighted, builder.gep(place, [vec.INDEX(index)]))


def _put(builder: Any, parts: list[Any], address: Any, bits: int, order: Iterable[int]) -> None:
    """Write integers as narrower ones, each vector's lanes in `order`."""
    narrow, target = (
        ir.VectorType(ir.IntType(bits), LANES),
        builder.inttoptr(address, ir.IntType(bits).as_pointer()),
    )
    lanes = ir.Constant(WORDS, list(order))
    for index, words in enumerate(parts):
        numbers = builder.trunc(words, narrow)
        numbers = builder.shuffle_vector(numbers, numbers, lanes)
        at = builder.gep(target, [vec.INDEX(index * LANES)])
        builder.store(numbers, builder.bitcast(at, narrow.as_pointer()), align=1)


def _peak(builder: Any, parts: list[Any]) -> Any:
    """The largest magnitude."""
    bits = [vec.magnitude(builder, part) for part in parts]
    largest = bits[0]
    for other in bits[1:]:
        largest = builder.select(builder.icmp_signed(">", other, largest), other, largest)
    return builder.bitcast(vec.reduce_words(builder, largest, "smax"), vec.FLOAT)
