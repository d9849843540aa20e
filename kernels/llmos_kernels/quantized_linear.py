"""Matrix products of int8 activations with int8 or int4 weights.

Weights lie in panels of PANEL output columns, as `linear`'s do, within a panel by group of input
features, so that a product reads memory from front to back. The element type tells the format:

uint8: one number per element, 128 too high; the scale per column is kept apart.
uint32: eight 4-bit numbers per element, by groups of HALF features, each followed by its scales and
    minimums as float16: value = number * scale + minimum.

Products of bytes are added up exactly in int32 within a group, groups in order in float32: a row
has the same bits in any batch and with any of PRODUCTS. Twin: reference.quantized_linear.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from llmos_kernels._dot import choose_dot
from llmos_kernels._jit import LANES, address, inlined, parallel_kernel
from llmos_kernels._products import DEEP, INT4_WORDS, PANEL, PARTS, Dots
from llmos_kernels._products_amx import Amx
from llmos_kernels._products_avx2 import Avx2
from llmos_kernels.quantize import GROUP, HALF, Quantized

PRODUCTS: dict[str, Any] = {
    "amx": Amx(),
    "avx512-vnni": Dots("avx512-vnni"),
    "avx2": Avx2(),
    "plain": Dots("plain"),
}
"""How products are computed, by instruction: see `_dot`."""
_PRODUCT = PRODUCTS[choose_dot()]
_VECTOR_ROWS = _PRODUCT.max_rows
MAX_ROWS = max(_VECTOR_ROWS, _PRODUCT.matrix_rows)
PIECE_ROWS = 2 * _PRODUCT.matrix_rows or 8 * _VECTOR_ROWS
"""Rows of a product that are one piece of work: the panel is read once for all of them."""


def pack_int8(numbers: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Panels of (out_features, in_features) numbers: (panels, bytes of a panel)."""
    padded = _pad(numbers, GROUP)
    panels, groups = padded.shape[0] // PANEL, padded.shape[1] // GROUP
    biased = (padded.astype(np.int16) + 128).astype(np.uint8)
    split = biased.reshape(panels, PARTS, LANES, groups, GROUP // DEEP, DEEP)
    return np.ascontiguousarray(split.transpose(0, 3, 4, 1, 2, 5)).reshape(panels, -1)


def pack_int4(
    numbers: NDArray[np.uint8], scales: NDArray[np.float16], minimums: NDArray[np.float16]
) -> NDArray[np.uint32]:
    """Panels of (out_features, in_features) numbers below 16, with (out, in / HALF) scales."""
    padded, scales, minimums = _pad(numbers, GROUP), _pad(scales, 2), _pad(minimums, 2)
    panels, groups = padded.shape[0] // PANEL, padded.shape[1] // HALF
    split = padded.reshape(panels, PARTS, LANES, groups, 2, HALF // 2 // DEEP, DEEP)
    # (panel, group, part, step, column, feature); the upper half byte is a later step's.
    split = split.transpose(4, 0, 3, 1, 5, 2, 6)
    packed = np.empty((panels, groups, INT4_WORDS * 4), np.uint8)
    size = PANEL * HALF // 2
    packed[:, :, :size] = (split[0] | split[1] << 4).reshape(panels, groups, -1)
    for index, values in enumerate((scales, minimums)):
        rows = np.ascontiguousarray(values.reshape(panels, PANEL, groups).transpose(0, 2, 1))
        at = size + index * PANEL * 2
        packed[:, :, at : at + PANEL * 2] = rows.view(np.uint8).reshape(panels, groups, -1)
    return packed.reshape(panels, -1).view(np.uint32)


def _pad(matrix: NDArray[Any], multiple: int) -> NDArray[Any]:
    """Zeros up to whole panels of rows and a multiple of columns."""
    rows, columns = -matrix.shape[0] % PANEL, -matrix.shape[1] % multiple
    return np.pad(matrix, ((0, rows), (0, columns)))


@parallel_kernel
def quantized_linear(x: Quantized, packed: Any, scales: Any, out: Any) -> None:
    """Write x @ weight.T.

    Args:
        x: quantized rows.
        packed: what `pack_int8` or `pack_int4` returned.
        scales: (panels * PANEL,) float32 of the columns; ones with int4.
        out: (rows, out_features) float32, contiguous.
    """
    for panel in prange(packed.shape[0]):
        tile = np.empty((MAX_ROWS, PANEL), np.float32)
        used = min(PANEL, out.shape[1] - panel * PANEL)
        done = 0
        while done < out.shape[0]:
            count = multiply_tile(x, done, out.shape[0] - done, packed, scales, panel, tile)
            for row in range(count):
                for lane in range(used):
                    out[done + row, panel * PANEL + lane] = tile[row, lane]
            done += count


@inlined
def multiply_tile(
    x: Any, first: Any, rows: Any, packed: Any, scales: Any, panel: Any, tile: Any
) -> Any:
    """Products of as many rows from `first` as fit with one panel; returns how many.

    tile (MAX_ROWS, PANEL) float32 receives them; at most `rows` rows are taken.
    """
    groups = x.scales.shape[1]
    stride = groups * GROUP
    at = first * groups
    where = (
        address(x.numbers, first * stride), address(x.pairs, first * x.pairs.shape[1]),
        address(x.scales, at), address(x.offsets, at), address(x.sums, 2 * at),
        address(packed, panel * packed.shape[1]),
        address(scales, panel * PANEL), address(tile, 0), groups,
    )  # fmt: skip
    many = _matrix(packed, where, rows)
    if many > 0:
        return many
    if rows >= _VECTOR_ROWS:
        _rows_max(packed, where)
        return _VECTOR_ROWS
    if _VECTOR_ROWS > 4 and rows >= 4:
        _rows_4(packed, where)
        return 4
    if _VECTOR_ROWS > 2 and rows >= 2:
        _rows_2(packed, where)
        return 2
    _rows_1(packed, where)
    return 1


def _row_block(num_rows: int, product: Any) -> Any:
    """An intrinsic for `num_rows` rows; arguments as multiply_tile lists them."""

    @intrinsic
    def multiply(_context: Any, packed: Any, where: Any) -> Any:
        emit = product.int8 if packed.dtype == types.uint8 else product.int4

        def codegen(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            emit(builder, num_rows, cgutils.unpack_tuple(builder, arguments[1]))
            return ir.Constant(ir.IntType(64), 0)

        return types.int64(packed, where), codegen

    return multiply


_rows_1, _rows_2, _rows_4, _rows_max = (_row_block(n, _PRODUCT) for n in (1, 2, 4, _VECTOR_ROWS))


def _matrix_block(product: Any) -> Any:
    """An intrinsic for as many rows as a matrix unit takes at once: returns how many it did, or 0.

    0 where there are fewer, or no such unit, or none for the format.
    """

    @intrinsic
    def multiply(_context: Any, packed: Any, where: Any, _rows: Any) -> Any:
        most = product.matrix_rows if packed.dtype == types.uint8 else 0

        def codegen(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            word = ir.IntType(64)
            if not most:
                return word(0)
            enough = builder.icmp_signed(">=", arguments[2], word(most))
            with builder.if_then(enough):
                product.matrix(builder, cgutils.unpack_tuple(builder, arguments[1]))
            return builder.select(enough, word(most), word(0))

        return types.int64(packed, where, types.int64), codegen

    return multiply


_matrix = _matrix_block(_PRODUCT)
