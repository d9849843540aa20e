"""x @ weight.T with weights of few bits, from one row of x to hundreds.

Products of bytes are added up exactly in int32, within a group of `quantize`, or from the first
feature to the last of `whole_rows`; groups follow in order in float32. So a row has the same bits
in any batch. The type of the rows tells which; `activation_rows` chooses. Twin:
reference.quantized_linear.
"""

import inspect
from typing import Any

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from llmos_kernels._dot import choose_dot
from llmos_kernels._jit import address, inlined, parallel_kernel
from llmos_kernels._products import PANEL, Dots
from llmos_kernels._products_amx import begin_whole, end_whole, multiply_whole
from llmos_kernels._products_avx2 import Avx2
from llmos_kernels.quantize import GROUP, Quantized, quantize_groups, quantized_rows
from llmos_kernels.whole_rows import ROW_TILE, WholeRows, quantize_whole, whole_rows

PRODUCTS: dict[str, Any] = {
    "avx512-vnni": Dots("avx512-vnni"),
    "avx2": Avx2(),
    "plain": Dots("plain"),
}
"""How products of groups are computed, by instruction: see `_dot`."""
_TILES = choose_dot() == "amx"
_PRODUCT = PRODUCTS["avx512-vnni" if _TILES else choose_dot()]
_VECTOR_ROWS = _PRODUCT.max_rows
MAX_ROWS = max(_VECTOR_ROWS, ROW_TILE)
PIECE_ROWS = 4 * ROW_TILE if _TILES else 8 * _VECTOR_ROWS
"""Rows of a product that are one piece of work: the panel is read once for all of them."""


def activation_rows(rows: int, features: int, packed: Any) -> Quantized | WholeRows:
    """Room for `rows` rows of x as products with `packed` take them here."""
    make = whole_rows if _TILES and packed.dtype == np.uint8 else quantized_rows
    return make(rows, features)


def _row_block(num_rows: int, product: Any) -> Any:
    """An intrinsic for `num_rows` rows in groups; arguments as multiply_rows lists them."""

    @intrinsic
    def multiply(_context: Any, packed: Any, where: Any) -> Any:
        emit = product.int8 if packed.dtype == types.uint8 else product.int4

        def codegen(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            emit(builder, num_rows, cgutils.unpack_tuple(builder, arguments[1]))
            return ir.Constant(ir.IntType(64), 0)

        return types.int64(packed, where), codegen

    return multiply


_rows_1, _rows_2, _rows_4, _rows_max = (_row_block(n, _PRODUCT) for n in (1, 2, 4, _VECTOR_ROWS))


@inlined
def _multiply_groups(
    x: Any, first: Any, rows: Any, packed: Any, scales: Any, panel: Any, tile: Any, width: Any
) -> Any:
    """`multiply_rows` of Quantized."""
    count = np.int64(x.scales.shape[1])
    at = first * count
    where = (
        address(x.numbers, at * GROUP), address(x.pairs, first * x.pairs.shape[1]),
        address(x.scales, at), address(x.offsets, at), address(x.sums, 2 * at),
        address(packed, panel * packed.shape[1]), address(scales, panel * PANEL), tile,
        np.int64(width), count,
    )  # fmt: skip
    if rows >= _VECTOR_ROWS:
        _rows_max(packed, where)
        return np.int64(_VECTOR_ROWS)
    if _VECTOR_ROWS > 4 and rows >= 4:
        _rows_4(packed, where)
        return np.int64(4)
    if _VECTOR_ROWS > 2 and rows >= 2:
        _rows_2(packed, where)
        return np.int64(2)
    _rows_1(packed, where)
    return np.int64(1)


@inlined
def _nothing(_x: Any) -> None:
    """What products of Quantized need before and after."""


def _by_kind(whole: Any, groups: Any) -> Any:
    """A function for kernels: `whole` where an argument is WholeRows, else `groups`."""

    def function(*_arguments: Any) -> Any:
        raise TypeError("only kernels can call this: its code is chosen by numba's types")

    def choose(*kinds: Any) -> Any:
        is_whole = any(getattr(kind, "instance_class", None) is WholeRows for kind in kinds)
        return (whole if is_whole else groups).py_func

    # numba compares it with that of what is chosen.
    choose.__signature__ = inspect.signature(whole.py_func)  # type: ignore[attr-defined]
    overload(function, inline="always")(choose)
    return function


quantize_row: Any = _by_kind(quantize_whole, quantize_groups)
"""quantize_row(values, row, out): quantize a line into a row of `out`.

values: (padded,) float32, contiguous, zero in its padding.
"""

begin_products: Any = _by_kind(begin_whole, _nothing)
"""begin_products(x): must come before a thread's first `multiply_rows`."""

end_products: Any = _by_kind(end_whole, _nothing)
"""end_products(x): must come after a thread's last `multiply_rows`."""

multiply_rows: Any = _by_kind(multiply_whole, _multiply_groups)
"""multiply_rows(x, first, rows, packed, scales, panel, tile, width): returns how many rows it did.

Products of as many of `rows` rows from `first` as fit, with one panel. They go to the address
`tile`, whose rows lie `width` floats apart. Of WholeRows, the first call begins with a row tile.
"""


@parallel_kernel
def quantized_linear(x: Any, packed: Any, scales: Any, out: Any) -> None:
    """Write x @ weight.T.

    Args:
        x: Quantized or WholeRows, as `activation_rows` gives them.
        packed: what panels.pack_int8 or pack_int4 returned.
        scales: (panels * PANEL,) float32 of the columns; ones with int4.
        out: (rows, out_features) float32, contiguous.
    """
    for panel in prange(packed.shape[0]):
        tile = np.empty((MAX_ROWS, PANEL), np.float32)
        used = min(PANEL, out.shape[1] - panel * PANEL)
        done = 0
        begin_products(x)
        while done < out.shape[0]:
            count = multiply_rows(
                x, done, out.shape[0] - done, packed, scales, panel, address(tile, 0), PANEL
            )
            for row in range(count):
                for lane in range(used):
                    out[done + row, panel * PANEL + lane] = tile[row, lane]
            done += count
        end_products(x)
