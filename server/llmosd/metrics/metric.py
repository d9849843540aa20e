"""What an evaluation asks of a metric over texts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Scores:
    """What a metric says of a set of hypotheses.

    Attributes:
        values: the figures by name, such as {"rouge1": 0.31}.
        each: the same for every hypothesis, in order, where a figure has such parts; see
            `bootstrap`. A figure of the whole set (BLEU, distinct-n) is not the mean of its parts.
        signature: all that must be the same for two figures to be compared, or "".
    """

    values: Mapping[str, float]
    each: Mapping[str, Sequence[float]] = field(default_factory=dict)
    signature: str = ""


class TextMetric(Protocol):
    """One way to judge texts."""

    def __call__(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Scores:
        """Judge hypotheses, each by one or more references.

        Metrics without references (see registry.REFERENCE_FREE) ignore the second argument.

        Raises:
            ValueError: there is nothing to judge, or nothing to judge it by.
        """


@dataclass(frozen=True, slots=True)
class Settings:
    """What metrics are told.

    Attributes:
        units: "words", or "characters" for Chinese: there each ideograph is a token by itself,
            and what is written in other scripts is still words.
        stemming: ROUGE compares stems (Porter) of English words.
        max_order: the longest n-grams of distinct-n, Self-BLEU and Texygen's BLEU.
    """

    units: Literal["words", "characters"] = "words"
    stemming: bool = True
    max_order: int = 5


Build = Callable[[Settings], TextMetric]
"""Makes a metric."""


def require_references(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    """Raise ValueError unless every one of at least one hypothesis has a reference."""
    require_hypotheses(hypotheses)
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(hypotheses)} hypotheses, but references for {len(references)}")
    for number, each in enumerate(references):
        if not each:
            raise ValueError(f"hypothesis {number} has no reference")


def require_hypotheses(hypotheses: Sequence[str]) -> None:
    """Raise ValueError where there is none."""
    if not hypotheses:
        raise ValueError("there is no hypothesis")


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean of at least one number."""
    return sum(values) / len(values)
