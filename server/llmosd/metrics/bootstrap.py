"""How far to trust a figure: percentile intervals, and two systems on the same examples.

Examples are drawn anew with replacement, as many as there are, and the figure is computed of each
such set (Efron, 1979; for translations Koehn, 2004, "Statistical significance tests for machine
translation evaluation").
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
OfSums = Callable[[Floats], Floats]
"""(sets,) figures of (sets, columns) sums over each set's examples."""

_DRAWN = 1 << 22
"""Examples drawn at a time: 32 MiB of their numbers."""


class Interval(NamedTuple):
    """A figure, and the bounds between which it is likely to be on other examples of the kind."""

    estimate: float
    low: float
    high: float


class Comparison(NamedTuple):
    """The first system against the second.

    Attributes:
        difference: first minus second, on all examples.
        low, high: its percentile interval.
        wins: share of sets in which the first is higher, ties as halves (Koehn, 2004): above 0.95
            the first one is better with the confidence of a one-sided test at 5 %.
        p_value: how often a difference as large, to either side, would come about by chance were
            there none: sets whose difference is off their mean by as much, one added to both
            counts (Riezler and Maxwell, 2005).
    """

    difference: float
    low: float
    high: float
    wins: float
    p_value: float


def confidence_interval(
    values: ArrayLike,
    *,
    of_sums: OfSums | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """The percentile interval of a mean; with `of_sums`, of another figure that sums decide.

    Args:
        values: (examples,) numbers, or (examples, columns) of which `of_sums` is told the sums,
            as `bleu.bleu_statistics` are for corpus BLEU.
        of_sums: makes figures of sums; by default each set's sum over its number of examples.
        level: how much of the distribution lies between the bounds, in (0, 1).
        resamples: how many sets are drawn.
        seed: the same seed draws the same sets for the same number of examples.

    Raises:
        ValueError: there are fewer than two examples, or a value is not finite.
    """
    table = _table(values)
    figures = of_sums or _mean_over(len(table))
    low, high = _percentiles(figures(_sums(table, resamples, seed)), level)
    return Interval(float(figures(table.sum(0, keepdims=True))[0]), low, high)


def paired_bootstrap(
    first: ArrayLike,
    second: ArrayLike,
    *,
    of_sums: OfSums | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Compare two systems on the same examples, in the same order: sets are drawn for both alike.

    Arguments as in `confidence_interval`.

    Raises:
        ValueError: as there; or the two are of different shapes.
    """
    one, two = _table(first), _table(second)
    if one.shape != two.shape:
        raise ValueError(f"values of {one.shape} and of {two.shape} are not of the same examples")
    figures = of_sums or _mean_over(len(one))
    drawn = _sums(np.hstack([one, two]), resamples, seed)
    columns = one.shape[1]
    differences = figures(drawn[:, :columns]) - figures(drawn[:, columns:])
    sums = one.sum(0, keepdims=True), two.sum(0, keepdims=True)
    difference = float(figures(sums[0])[0] - figures(sums[1])[0])
    by_chance = np.abs(differences - differences.mean()) >= abs(difference)
    return Comparison(
        difference,
        *_percentiles(differences, level),
        wins=float((differences > 0).mean() + (differences == 0).mean() / 2),
        p_value=float((by_chance.sum() + 1) / (resamples + 1)),
    )


def _table(values: ArrayLike) -> Floats:
    table = np.asarray(values, np.float64)
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or len(table) < 2:
        raise ValueError("two or more examples are needed, a row each")
    if not np.isfinite(table).all():
        raise ValueError("a value is not finite")
    return table


def _sums(table: Floats, resamples: int, seed: int) -> Floats:
    """(resamples, columns): sums over the examples of each set."""
    return np.concatenate([counts @ table for counts in _draws(len(table), resamples, seed)])


def _draws(examples: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Blocks of rows (sets, examples): how often each example is in a set."""
    generator = np.random.default_rng(seed)
    block = max(1, _DRAWN // examples)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = generator.integers(examples, size=(rows, examples))
        drawn += np.arange(rows)[:, None] * examples
        counts = np.bincount(drawn.ravel(), minlength=rows * examples)
        yield counts.reshape(rows, examples).astype(np.float64)


def _mean_over(examples: int) -> OfSums:
    return lambda sums: sums[:, 0] / examples


def _percentiles(figures: Floats, level: float) -> tuple[float, float]:
    low, high = np.quantile(figures, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
