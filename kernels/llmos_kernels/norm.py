"""RMSNorm and LayerNorm over rows; a row's result does not depend on the other rows.

Sums run over LANES partial sums, added up in one fixed order. Twins: reference.rms_norm,
reference.layer_norm.
"""

from typing import Any

import numpy as np
from numba import prange

from llmos_kernels._jit import LANES, fma, inlined, kernel, parallel_kernel


@parallel_kernel
def rms_norm(x: Any, weight: Any, eps: Any, out: Any) -> None:
    """Root mean square normalization (Zhang and Sennrich, 2019).

    Args:
        x: (rows, size) float32, contiguous.
        weight: (size,) float32.
        eps: float32, added to the mean square.
        out: like x; may be x.
    """
    for row in prange(x.shape[0]):
        normalize(x[row], weight, eps, out[row])


@parallel_kernel
def layer_norm(x: Any, weight: Any, bias: Any, eps: Any, out: Any) -> None:
    """Layer normalization (Ba et al., 2016), arguments as rms_norm, `bias` (size,) float32."""
    size = x.shape[1]
    for row in prange(x.shape[0]):
        partial = np.zeros(LANES, np.float32)
        for at in range(size):
            partial[at % LANES] += x[row, at]
        mean = _total(partial) / np.float32(size)
        partial[:] = np.float32(0.0)
        for at in range(size):
            off = x[row, at] - mean
            partial[at % LANES] = fma(off, off, partial[at % LANES])
        scale = np.float32(1.0) / np.sqrt(_total(partial) / np.float32(size) + eps)
        for at in range(size):
            out[row, at] = fma((x[row, at] - mean) * scale, weight[at], bias[at])


@kernel
def normalize(x: Any, weight: Any, eps: Any, out: Any) -> None:
    """RMSNorm of one row; `out` may be x."""
    size = x.shape[0]
    partial = np.zeros(LANES, np.float32)
    for at in range(0, size - size % LANES, LANES):
        for lane in range(LANES):
            value = x[at + lane]
            partial[lane] = fma(value, value, partial[lane])
    for at in range(size - size % LANES, size):
        partial[0] = fma(x[at], x[at], partial[0])
    scale = np.float32(1.0) / np.sqrt(_total(partial) / np.float32(size) + eps)
    for at in range(size):
        out[at] = x[at] * scale * weight[at]


@inlined
def _total(partial: Any) -> Any:
    """Sum of the lanes, pairwise."""
    width = LANES // 2
    while width > 0:
        for lane in range(width):
            partial[lane] += partial[lane + width]
        width //= 2
    return partial[0]
