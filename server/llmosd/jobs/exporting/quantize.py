"""float32 as GGUF's Q8_0: blocks of 32 weights, a float16 scale and 32 signed bytes each.

As ggml's quantize_row_q8_0_ref computes it (https://github.com/ggml-org/ggml, src/ggml-quants.c),
bit for bit.
"""

import numpy as np
from numpy.typing import NDArray

BLOCK, BLOCK_BYTES = 32, 34
_MOST = np.float32(127)


def q8_0(values: NDArray[np.float32]) -> bytes:
    """Encode whole blocks; `values` are finite."""
    blocks = values.reshape(-1, BLOCK)
    scale = np.abs(blocks).max(axis=1, keepdims=True) / _MOST
    with np.errstate(divide="ignore"):
        inverse = np.where(scale == 0, np.float32(0), np.float32(1) / scale)
    scaled = blocks * inverse
    # Halves away from zero, as C's roundf.
    whole = np.trunc(scaled)
    rounded = whole + np.trunc((scaled - whole) * np.float32(2))
    out = np.empty((blocks.shape[0], BLOCK_BYTES), np.uint8)
    with np.errstate(over="ignore"):
        out[:, :2] = scale.astype(np.float16).view(np.uint8)
    out[:, 2:] = rounded.astype(np.int8).view(np.uint8)
    return out.tobytes()
