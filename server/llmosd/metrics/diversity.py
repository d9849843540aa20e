"""How much texts differ from each other, and how long they are. None of it says they are good."""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from llmosd.metrics.metric import Scores, Settings, require_hypotheses
from llmosd.metrics.sentence_bleu import self_bleu
from llmosd.metrics.tokens import tokenizer

Lines = Iterable[Sequence[Hashable]]
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class Lengths(NamedTuple):
    """Of lines, in tokens; `quantiles` are at QUANTILES, between two lengths linearly."""

    mean: float
    deviation: float
    quantiles: tuple[float, ...]


def distinct_n(lines: Lines, order: int) -> float:
    """Different n-grams of all lines per n-gram, 0 to 1 (Li et al., 2016); 0 where there is none.

    The paper divides by the number of words; by the number of n-grams, as most programs do, the
    figure is 1 exactly where nothing is said twice. It falls with the amount of text: compare only
    sets of about the same size.
    """
    counts = _ngrams(lines, order)
    return len(counts) / counts.total() if counts else 0.0


def ngram_entropy(lines: Lines, order: int) -> float:
    """Entropy of the n-grams of all lines in nats (Zhang et al., 2018); 0 where there is none.

    -sum p ln p, p being an n-gram's share: unlike distinct-n it tells few rare ones from many.
    """
    counts = _ngrams(lines, order)
    total = counts.total()
    return math.fsum(-count / total * math.log(count / total) for count in counts.values())


def length_distribution(lines: Iterable[Sequence[object]]) -> Lengths:
    """Mean, population deviation and quantiles.

    Raises:
        ValueError: there is no line.
    """
    lengths = np.array([len(line) for line in lines], np.float64)
    if not lengths.size:
        raise ValueError("there is no line")
    quantiles = np.quantile(lengths, QUANTILES)
    return Lengths(float(lengths.mean()), float(lengths.std()), tuple(quantiles.tolist()))


class Distinct:
    """distinct_1 .. and entropy_1 .. up to the order of the settings, of all hypotheses at once."""

    def __init__(self, settings: Settings) -> None:
        self._tokenize = tokenizer(settings.units)
        self._orders = range(1, settings.max_order + 1)
        self._signature = f"tokens:{settings.units}"

    def __call__(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Scores:
        """Neither has parts for each example."""
        del references
        require_hypotheses(hypotheses)
        lines = [self._tokenize(text) for text in hypotheses]
        values = {f"distinct_{order}": distinct_n(lines, order) for order in self._orders}
        values |= {f"entropy_{order}": ngram_entropy(lines, order) for order in self._orders}
        return Scores(values, signature=self._signature)


class SelfBleu:
    """self_bleu_2 .., each hypothesis by all others (Zhu et al., 2018); 0 to 1, low is diverse."""

    def __init__(self, settings: Settings) -> None:
        self._tokenize = tokenizer(settings.units)
        self._max_order = settings.max_order
        self._signature = f"tokens:{settings.units}|smooth:method1"

    def __call__(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Scores:
        """Means, and what they are means of.

        Raises:
            ValueError: there are fewer than two hypotheses.
        """
        del references
        table = self_bleu([self._tokenize(text) for text in hypotheses], self._max_order)
        each = {f"self_bleu_{at + 1}": table[:, at].tolist() for at in range(1, self._max_order)}
        means = table.mean(0)
        values = {f"self_bleu_{at + 1}": float(means[at]) for at in range(1, self._max_order)}
        return Scores(values, each, self._signature)


class Length:
    """Lengths of hypotheses in tokens: length_mean, length_deviation, length_p05 .. length_p95."""

    def __init__(self, settings: Settings) -> None:
        self._tokenize = tokenizer(settings.units)
        self._signature = f"tokens:{settings.units}"

    def __call__(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Scores:
        """The parts of length_mean are the lengths."""
        del references
        require_hypotheses(hypotheses)
        lines = [self._tokenize(text) for text in hypotheses]
        lengths = length_distribution(lines)
        values = {"length_mean": lengths.mean, "length_deviation": lengths.deviation}
        values |= {
            f"length_p{round(100 * share):02d}": value
            for share, value in zip(QUANTILES, lengths.quantiles, strict=True)
        }
        each = {"length_mean": [float(len(line)) for line in lines]}
        return Scores(values, each, self._signature)


def _ngrams(lines: Lines, order: int) -> Counter[tuple[Hashable, ...]]:
    counts: Counter[tuple[Hashable, ...]] = Counter()
    for line in lines:
        counts.update(zip(*(line[start:] for start in range(order)), strict=False))
    return counts
