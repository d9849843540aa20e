"""Blocks of chains of fused multiply-adds: what float products are made of.

tile[m, n] = fma(x[m, k], lines[k, n], tile[m, n]) for every k in order, for some rows m and LANES
columns n per part. Each output is one chain, so its bits depend on nothing but its own row, its own
column and where it started.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from llmos_kernels import _vector as vec
from llmos_kernels._jit import LANES, has_avx512, inlined

# As many rows of two parts as the registers hold.
MAX_ROWS = 12 if has_avx512() else 6


def _block_of(rows: int, parts: int) -> Any:
    """An intrinsic for `rows` rows and `parts` parts; arguments as `add_products`'."""

    @intrinsic
    def block(
        _context: Any, x: Any, stride: Any, depth: Any, lines: Any, line: Any, array: Any,
        tile: Any, width: Any,
    ) -> Any:  # fmt: skip
        wide = isinstance(array.dtype, types.Float)

        def codegen(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            x_at, step, length, starts, line_step, _, tile_at, tile_step = arguments
            starts = cgutils.unpack_tuple(builder, starts)[:parts]
            where = (x_at, step, length, starts, line_step, tile_at, tile_step)
            _emit(builder, rows, where, wide=wide)
            return ir.Constant(ir.IntType(64), 0)

        return types.int64(x, stride, depth, lines, line, array, tile, width), codegen

    return block


def _emit(builder: Any, rows: int, where: tuple[Any, ...], *, wide: bool) -> None:
    x, step, depth, starts, line_step, tile, tile_step = where
    fma = vec.fma_function(builder)
    x, tile = vec.float_pointer(builder, x), vec.float_pointer(builder, tile)
    places = {}
    for row in range(rows):
        base = builder.mul(tile_step, tile_step.type(row))
        for part in range(len(starts)):
            places[row, part] = builder.add(base, base.type(part * LANES))
    chains = {place: cgutils.alloca_once(builder, vec.VECTOR) for place in places}
    for place, at in places.items():
        builder.store(vec.load(builder, tile, at), chains[place])
    with cgutils.for_range(builder, depth) as loop:
        offset = builder.mul(loop.index, line_step)
        columns = [_load(builder, start, offset, wide=wide) for start in starts]
        for row in range(rows):
            at = builder.add(builder.mul(step, step.type(row)), loop.index)
            factor = vec.splat(builder, builder.load(builder.gep(x, [at])))
            for part, column in enumerate(columns):
                chain = chains[row, part]
                builder.store(builder.call(fma, [factor, column, builder.load(chain)]), chain)
    for place, at in places.items():
        vec.store(builder, builder.load(chains[place]), tile, at)


def _load(builder: Any, start: Any, offset: Any, *, wide: bool) -> Any:
    if wide:
        return vec.load(builder, vec.float_pointer(builder, start), offset)
    return vec.load_bfloat16(builder, start, offset)


_max_2, _four_2, _three_2, _two_2, _one_2 = (_block_of(rows, 2) for rows in (MAX_ROWS, 4, 3, 2, 1))
_max_1, _three_1, _one_1 = (_block_of(rows, 1) for rows in (MAX_ROWS, 3, 1))


@inlined
def add_products(
    x: Any, stride: Any, depth: Any, lines: Any, line: Any, array: Any, tile: Any, width: Any,
    rows: Any,
) -> None:  # fmt: skip
    """Run chains of two parts.

    Args:
        x: address of the first row; rows lie `stride` floats apart.
        depth: length of the chains.
        lines: addresses of the two parts' first lines of LANES columns; lines lie `line` elements
            apart, of `array`'s type: float32, or uint16 holding bfloat16 bits.
        tile: address of where chains start and end; its rows lie `width` floats apart, parts side
            by side.
        rows: how many rows there are.
    """
    done = np.int64(0)
    while done < rows:
        from_x, to = x + 4 * done * stride, tile + 4 * done * width
        rest = rows - done
        if rest >= MAX_ROWS:
            _max_2(from_x, stride, depth, lines, line, array, to, width)
            done += MAX_ROWS
        elif rest >= 4:
            _four_2(from_x, stride, depth, lines, line, array, to, width)
            done += 4
        elif rest == 3:
            _three_2(from_x, stride, depth, lines, line, array, to, width)
            done += 3
        elif rest == 2:
            _two_2(from_x, stride, depth, lines, line, array, to, width)
            done += 2
        else:
            _one_2(from_x, stride, depth, lines, line, array, to, width)
            done += 1


@inlined
def add_products_1(
    x: Any, stride: Any, depth: Any, lines: Any, line: Any, array: Any, tile: Any, width: Any,
    rows: Any,
) -> None:  # fmt: skip
    """Run chains of one part; arguments as `add_products`'."""
    done = np.int64(0)
    while done < rows:
        from_x, to = x + 4 * done * stride, tile + 4 * done * width
        rest = rows - done
        if rest >= MAX_ROWS:
            _max_1(from_x, stride, depth, lines, line, array, to, width)
            done += MAX_ROWS
        elif rest >= 3:
            _three_1(from_x, stride, depth, lines, line, array, to, width)
            done += 3
        else:
            _one_1(from_x, stride, depth, lines, line, array, to, width)
            done += 1
