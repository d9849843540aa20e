"""Weights of few bits, packed as the products of `quantized_linear` read them.

Panels hold PANEL columns of the result. The numbers of a group of features lie together, as the
products want them; a panel is read from memory from front to back. The element type tells the
format:

uint8: one number per element, 128 too high; the scale per column is kept apart.
uint32: eight 4-bit numbers per element, by groups of HALF features, each followed by its scales and
    minimums as float16: value = number * scale + minimum.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmos_kernels._jit import LANES
from llmos_kernels._products import DEEP, INT4_WORDS, PANEL, PARTS
from llmos_kernels.quantize import GROUP, HALF


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
