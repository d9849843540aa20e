"""Matrix product with packed weights whose result for a row does not depend on the other rows.

Weights lie in panels of PANEL output columns, each (in_features, PANEL) contiguous. Every output is
one chain of fused multiply-adds over the input features in order, whatever the number of rows, so a
row has the same bits alone and in a batch: what BLAS does not promise (measured: MKL changes at
M = 2, 4, 16 and 57). Bias, where there is one, starts the chain. Twin: reference.linear.
"""

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from llmos_kernels._chains import MAX_ROWS, add_products, add_products_1
from llmos_kernels._jit import LANES, address, has_avx512, inlined, parallel_kernel

# Columns per panel: with MAX_ROWS rows, as many chains as the registers hold.
PANEL = 2 * LANES if has_avx512() else LANES


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


@inlined
def _multiply(x: Any, depth: Any, panel: Any, packed: Any, tile: Any, rows: Any) -> None:
    if PANEL == 2 * LANES:
        lines = (panel, panel + LANES * packed.itemsize)
        add_products(x, depth, depth, lines, PANEL, packed, tile, PANEL, rows)
    else:
        add_products_1(x, depth, depth, (panel,), PANEL, packed, tile, PANEL, rows)


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
            count = min(MAX_ROWS, rows - done)
            _multiply(address(x, done * depth), depth, weights, packed, address(tile, 0), count)
            for row in range(count):
                for lane in range(used):
                    out[done + row, column + lane] = tile[row, lane]
            done += count
