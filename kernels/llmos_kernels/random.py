"""Counter-based random numbers: Philox4x32-10 (Salmon et al., 2011).

A draw is a function of (seed, choice, position) alone, so it does not depend on what else is in the
batch, on preemption, or on the order of steps. Twins: reference.uniform, reference.normals.
"""

import math
from typing import Any

import numpy as np

from llmos_kernels._jit import inlined, kernel

_MASK = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)


@inlined
def _round(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> Any:
    first = np.uint64(0xD2511F53) * c0
    second = np.uint64(0xCD9E8D57) * c2
    return (second >> _SHIFT) ^ c1 ^ k0, second & _MASK, (first >> _SHIFT) ^ c3 ^ k1, first & _MASK


@kernel
def philox(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> Any:
    """Ten rounds on four counter words and two key words, each a uint64 below 2**32."""
    for _ in range(10):
        c0, c1, c2, c3 = _round(c0, c1, c2, c3, k0, k1)
        k0 = (k0 + np.uint64(0x9E3779B9)) & _MASK
        k1 = (k1 + np.uint64(0xBB67AE85)) & _MASK
    return c0, c1, c2, c3


@inlined
def _unit(high: Any, low: Any) -> Any:
    bits = (high >> np.uint64(5)) * np.uint64(67108864) + (low >> np.uint64(6))
    return np.float64(bits) * (1.0 / 9007199254740992.0)


@kernel
def uniform(seed: Any, choice: Any, position: Any) -> Any:
    """A float64 in [0, 1) with 53 random bits.

    Args:
        seed: uint64, the key.
        choice: which of a request's n answers.
        position: index of the token in the answer.
    """
    key = np.uint64(seed)
    zero = np.uint64(0)
    high, low, _, _ = philox(
        np.uint64(position) & _MASK,
        np.uint64(choice) & _MASK,
        zero,
        zero,
        key & _MASK,
        key >> _SHIFT,
    )
    return _unit(high, low)


@kernel
def normals(seed: Any, choice: Any, out: Any) -> None:
    """Fill `out` with standard normal numbers (Box and Muller, 1958).

    Two of them come from the four words of one counter (index, choice, 1, 0), which differs from
    every counter of `uniform`.

    Args:
        seed: uint64, the key.
        choice: which of a request's n answers.
        out: (size,) float32.
    """
    key = np.uint64(seed)
    for index in range((out.shape[0] + 1) // 2):
        one, two, three, four = philox(
            np.uint64(index),
            np.uint64(choice) & _MASK,
            np.uint64(1),
            np.uint64(0),
            key & _MASK,
            key >> _SHIFT,
        )
        # 1 - u is above 0, whose logarithm there is.
        radius = math.sqrt(-2.0 * math.log(1.0 - _unit(one, two)))
        angle = 2.0 * math.pi * _unit(three, four)
        out[2 * index] = radius * math.cos(angle)
        if 2 * index + 1 < out.shape[0]:
            out[2 * index + 1] = radius * math.sin(angle)
