"""Nucleus sampling (Holtzman et al., 2020) over a whole vocabulary, without sorting it.

Terms are counted into buckets by the upper bits of their float32 representation, whose order is
theirs; only the one bucket in which the draw falls is put in order.
"""

from typing import Any

import numpy as np

from llmos_kernels._jit import kernel
from llmos_kernels.selection import most_likely

_SHIFT = np.uint32(18)  # sign, exponent and 5 bits of the fraction stay
_BUCKETS = (0x3F800000 >> 18) + 1  # terms are 1 at most


@kernel
def draw_nucleus(terms: Any, total: Any, top_p: Any, min_p: Any, u: Any) -> Any:
    """Index of the term at `u` of those kept, the largest first and the lower index among equals.

    Args:
        terms: (size,) float32 in [0, 1], the largest one 1.
        total: their sum.
        top_p: the largest terms are kept until their share of the total exceeds it.
        min_p: smaller terms are not kept.
        u: in [0, 1).
    """
    bits = terms.view(np.uint32)
    masses = np.zeros(_BUCKETS, np.float64)
    likely = 0.0
    for at in range(terms.shape[0]):
        mass = np.float64(terms[at])
        masses[bits[at] >> _SHIFT] += mass
        likely += mass if terms[at] >= min_p else 0.0
    _, reached = _reach(terms, bits, masses, np.float64(top_p) * total)
    token, _ = _reach(terms, bits, masses, u * min(reached, likely))
    return token


@kernel
def _reach(terms: Any, bits: Any, masses: Any, target: Any) -> Any:
    """Index at which the sum, largest terms first, exceeds `target`, and the sum; else the last."""
    bucket, before = np.int64(_BUCKETS - 1), 0.0
    while bucket > 0 and not before + masses[bucket] > target:
        before += masses[bucket]
        bucket -= 1
    members = np.flatnonzero(bits >> _SHIFT == np.uint32(bucket))
    own = terms[members]
    token = np.int64(0)
    for at in most_likely(own, own.shape[0]):
        token = members[at]
        before += np.float64(own[at])
        if before > target:
            break
    return token, before
