"""A figure of an evaluation, and what it is made of."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmosd.jobs.evaluating.specs import Example, PreparedPart
from llmosd.metrics.bootstrap import OfSums
from llmosd.metrics.metric import Settings

Floats = NDArray[np.float64]
Said = dict[str, Any]

MOST_NAMED = 16
"""Labels, or groups, that have figures of their own."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a part.

    Attributes:
        name, value, signature: as a Metric's.
        each: the same of every example, in order; empty where it has no such parts.
        table: (examples or sets, columns) numbers whose sums decide the figure; None: none do.
        of_sums: see metrics.bootstrap; None: the mean of the table's one column.
    """

    name: str
    value: float
    each: Sequence[float] = ()
    table: Floats | None = field(default=None, repr=False)
    of_sums: OfSums | None = None
    signature: str = ""


@dataclass(frozen=True, slots=True)
class Material:
    """A part's judged examples: what was asked, and what was said, in the same order."""

    part: PreparedPart
    examples: Sequence[Example]
    said: Sequence[Said]
    references: Sequence[str] | None = None

    @property
    def settings(self) -> Settings:
        """Of metrics of texts."""
        spec = self.part.spec
        return Settings(units=spec.units, stemming=spec.stemming, max_order=spec.max_order)


def mean_of(name: str, each: Sequence[float]) -> Figure:
    """The mean of all examples' values."""
    table = np.asarray(each, np.float64)
    return Figure(name, float(table.mean()), each, table)


def of_sums_of(name: str, table: Floats, of_sums: OfSums, each: Sequence[float] = ()) -> Figure:
    """What `of_sums` makes of a table's sums."""
    return Figure(name, float(of_sums(table.sum(0, keepdims=True))[0]), each, table, of_sums)
