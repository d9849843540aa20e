"""Activation functions of the feed-forward layers.

Twins: reference.silu_multiply, reference.gelu.
"""

from typing import Any

import numpy as np
from numba import prange

from llmos_kernels._jit import exp32, parallel_kernel, tanh32


@parallel_kernel
def silu_multiply(gate_up: Any, out: Any) -> None:
    """SwiGLU's inner product: silu(gate) * up (Shazeer, 2020).

    Args:
        gate_up: (rows, 2 * size) float32: gate, then up.
        out: (rows, size) float32.
    """
    size = out.shape[1]
    one = np.float32(1.0)
    for row in prange(out.shape[0]):
        for at in range(size):
            gate = gate_up[row, at]
            out[row, at] = gate / (one + exp32(-gate)) * gate_up[row, size + at]


@parallel_kernel
def gelu(x: Any, out: Any) -> None:
    """GELU in its tanh form, as in GPT-2 (Hendrycks and Gimpel, 2016); x, out: (rows, size)."""
    one = np.float32(1.0)
    root = np.float32(0.7978845608028654)  # sqrt(2 / pi)
    for row in prange(x.shape[0]):
        for at in range(x.shape[1]):
            value = x[row, at]
            inner = root * (value + np.float32(0.044715) * value * value * value)
            out[row, at] = np.float32(0.5) * value * (one + tanh32(inner))
