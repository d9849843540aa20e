"""Matrix product with packed weights whose result for a row does not depend on the other rows.

Weights lie in panels of PANEL output columns, each (in_features, PANEL) contiguous. Every output is
one chain of fused multiply-adds over the input features in order, whatever the number of rows, so a
row has the same bits alone and in a batch: what BLAS does not promise (measured: MKL changes at
M = 2, 4, 16 and 57). Bias, where there is one, starts the chain. Twin: reference.linear.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from llmos_kernels import _vector as vec
from llmos_kernels._jit import LANES, address, has_avx512, inlined, parallel_kernel

# Columns per panel, and rows per block: as many accumulators as the registers hold.
PANEL, MAX_ROWS = (32, 12) if has_avx512() else (16, 6)
_VECTORS = PANEL // LANES


def pack_weight(weight: NDArray[Any]) -> NDArray[Any]:
    """Panels of `weight`.

    Args:
        weight: (out_features, in_features), float32, or uint16 holding bfloat16 bits.

    Returns:
        (ceil(out_features / PANEL), in_features, PANEL) of the same type, padded with zeros.
    """
    out_features, in_features = weight.shape
    panels = -(-out_features // PANEL)
    packed = np.zeros((panels, in_features, PANEL), weight.dtype)
    for panel in range(panels):
        rows = weight[panel * PANEL : (panel + 1) * PANEL]
        packed[panel, :, : len(rows)] = rows.T
    return packed


@inlined
def _start(tile: Any, bias: Any, column: int) -> None:
    """Fill a tile with what its chains begin with: the bias, or zero."""
    for row in range(tile.shape[0]):
        for lane in range(tile.shape[1]):
            at = column + lane
            tile[row, lane] = bias[at] if at < bias.shape[0] else np.float32(0.0)


@parallel_kernel
def linear(x: Any, packed: Any, bias: Any, out: Any) -> None:
    """Write x @ weight.T + bias.

    Args:
        x: (rows, in_features) float32, contiguous.
        packed: what `pack_weight` returned.
        bias: (out_features,) float32, or empty.
        out: (rows, out_features) float32, contiguous.
    """
    rows, depth = x.shape
    width = out.shape[1]
    for panel in prange(packed.shape[0]):
        tile = np.empty((MAX_ROWS, PANEL), np.float32)
        column = panel * PANEL
        used = min(PANEL, width - column)
        weights = address(packed, panel * depth * PANEL)
        done = 0
        while done < rows:
            _start(tile, bias, column)
            at = address(x, done * depth)
            count = multiply_rows(at, depth, depth, weights, packed, tile, rows - done)
            for row in range(count):
                for lane in range(used):
                    out[done + row, column + lane] = tile[row, lane]
            done += count


@inlined
def multiply_rows(
    x: Any, stride: Any, depth: Any, weights: Any, packed: Any, tile: Any, rows: Any
) -> Any:
    """Add to a tile the products of the largest row block that fits into `rows` with one panel.

    Args:
        x: address of the first row; rows lie `stride` floats apart.
        depth: length of the chains.
        weights: address of the panel; `packed` is an array of its element type.
        tile: (MAX_ROWS, PANEL) float32 or an array of rows that long, which the chains start from.
        rows: how many rows there are.

    Returns:
        How many were taken.
    """
    out = address(tile, 0)
    if rows >= MAX_ROWS:
        _rows_max(x, stride, depth, weights, packed, out)
        return MAX_ROWS
    if rows >= 4:
        _rows_4(x, stride, depth, weights, packed, out)
        return 4
    if rows >= 2:
        _rows_2(x, stride, depth, weights, packed, out)
        return 2
    _rows_1(x, stride, depth, weights, packed, out)
    return 1


def _row_block(num_rows: int) -> Any:
    """An intrinsic that runs the chains of `num_rows` rows over one panel.

    Arguments: address of x, its row stride, the length of the chains, address of the panel, the
    packed array (only its element type matters), address of the (num_rows, PANEL) tile.
    """

    @intrinsic
    def multiply(
        _context: Any, x: Any, stride: Any, depth: Any, panel: Any, packed: Any, tile: Any
    ) -> Any:
        wide = isinstance(packed.dtype, types.Float)

        def codegen(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            x_at, step, length, panel_at, _, tile_at = arguments
            where = (x_at, step, length, panel_at, tile_at)
            _emit_chains(builder, num_rows, where, wide=wide)
            return ir.Constant(ir.IntType(64), 0)

        return types.int64(x, stride, depth, panel, packed, tile), codegen

    return multiply


def _emit_chains(builder: Any, num_rows: int, where: tuple[Any, ...], *, wide: bool) -> None:
    """Emit: for k in range(depth): tile[m, n] = fma(x[m, k], panel[k, n], tile[m, n])."""
    x, stride, depth, panel, tile = where
    fma = vec.fma_function(builder)
    x, tile = vec.float_pointer(builder, x), vec.float_pointer(builder, tile)
    weights = vec.float_pointer(builder, panel)
    places = [(row, part) for row in range(num_rows) for part in range(_VECTORS)]
    chains = {place: cgutils.alloca_once(builder, vec.VECTOR) for place in places}
    for (row, part), chain in chains.items():
        start = vec.load(builder, tile, vec.INDEX(row * PANEL + part * LANES))
        builder.store(start, chain)
    with cgutils.for_range(builder, depth) as loop:
        at = builder.mul(loop.index, loop.index.type(PANEL))
        starts = [builder.add(at, at.type(part * LANES)) for part in range(_VECTORS)]
        if wide:
            columns = [vec.load(builder, weights, start) for start in starts]
        else:
            columns = [vec.load_bfloat16(builder, panel, start) for start in starts]
        for row in range(num_rows):
            offset = builder.add(builder.mul(stride, stride.type(row)), loop.index)
            factor = vec.splat(builder, builder.load(builder.gep(x, [offset])))
            for part, column in enumerate(columns):
                chain = chains[row, part]
                builder.store(builder.call(fma, [factor, column, builder.load(chain)]), chain)
    for (row, part), chain in chains.items():
        vec.store(builder, builder.load(chain), tile, vec.INDEX(row * PANEL + part * LANES))


_rows_1, _rows_2, _rows_4, _rows_max = (_row_block(n) for n in (1, 2, 4, MAX_ROWS))
