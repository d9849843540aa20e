"""Arithmetic of latent vectors, in plain numbers: the front has no arrays."""

import math
from collections.abc import Sequence

Vector = Sequence[float]

REACH = 4.0
"""Where rounded numbers end: of a prior's draws, one in 16,000 is beyond."""


def kl_divergence(mean: Vector, log_variance: Vector) -> float:
    """KL(N(mean, variance) || N(0, I)) in nats (Kingma and Welling, 2014, appendix B)."""
    pairs = zip(mean, log_variance, strict=True)
    return math.fsum(0.5 * (m * m + math.exp(v) - 1 - v) for m, v in pairs)


def linear(begin: Vector, end: Vector, share: float) -> list[float]:
    """The point at `share` of the line from `begin` to `end`."""
    return [(1 - share) * a + share * b for a, b in zip(begin, end, strict=True)]


def spherical(begin: Vector, end: Vector, share: float) -> list[float]:
    """The point at `share` of the great circle (Shoemake, 1985); `linear` where there is none.

    Draws of a Gaussian of many dimensions lie near a sphere, which a line leaves (White, 2016).
    """
    lengths = math.hypot(*begin) * math.hypot(*end)
    product = math.fsum(a * b for a, b in zip(begin, end, strict=True))
    angle = math.acos(max(-1.0, min(1.0, product / lengths))) if lengths else 0.0
    if math.sin(angle) < 1e-6:
        return linear(begin, end, share)
    one, two = (math.sin(part * angle) / math.sin(angle) for part in (1 - share, share))
    return [one * a + two * b for a, b in zip(begin, end, strict=True)]


def rounded(values: Vector, bits: int) -> list[float]:
    """Each number as the nearest of 2^bits, evenly apart from -REACH to REACH."""
    last = 2**bits - 1
    step = 2 * REACH / last
    return [max(0, min(last, round((value + REACH) / step))) * step - REACH for value in values]


def edits(one: str, two: str) -> int:
    """Characters inserted, deleted or replaced between two texts (Levenshtein, 1966)."""
    row = list(range(len(two) + 1))
    for at, left in enumerate(one, 1):
        before, row[0] = row[0], at
        for to, right in enumerate(two, 1):
            before, row[to] = row[to], min(before + (left != right), row[to] + 1, row[to - 1] + 1)
    return row[-1]
