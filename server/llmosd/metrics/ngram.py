"""A language model that counts: what any other one must be better than."""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import NamedTuple

Lines = Iterable[Sequence[Hashable]]

_BOUNDARY = object()
"""Before a line's first token and after its last one; equal to no token."""


class Likelihood(NamedTuple):
    """Of some lines.

    Attributes:
        nll: mean -ln p of a token, in nats; infinite where one was given no probability.
        tokens: how many it is the mean of; a line's end is one.
    """

    nll: float
    tokens: int


class NgramModel:
    """p(token | context) = (n(context, token) + k) / (n(context) + k V): additive smoothing.

    The context are the `order` - 1 tokens before, boundaries among them; V is the size of the
    vocabulary, in which the end of a line is one more. Order 2 and k = 0 are makemore's bigrams
    (Karpathy, 2022), k = 1 is Laplace's rule.
    """

    def __init__(
        self, lines: Lines, order: int = 2, smoothing: float = 0.0, vocab_size: int | None = None
    ) -> None:
        """Count. A token may be a character, a word or a number.

        Args:
            lines: what to learn from.
            order: of the longest n-grams, 1 or more.
            smoothing: k, 0 or more.
            vocab_size: V; by default the different tokens that were seen, and the end.

        Raises:
            ValueError: one of them is out of its range, or V is below what was seen.
        """
        if order < 1 or smoothing < 0:
            raise ValueError("the order is 1 or more, the smoothing 0 or more")
        self._order = order
        self._smoothing = smoothing
        self._counts = Counter(gram for line in lines for gram in _ngrams(line, order))
        self._contexts: Counter[tuple[Hashable, ...]] = Counter()
        for gram, count in self._counts.items():
            self._contexts[gram[:-1]] += count
        self._known = {gram[-1] for gram in self._counts} | {_BOUNDARY}
        self._size = len(self._known) if vocab_size is None else vocab_size
        self._closed = vocab_size is None
        if self._size < len(self._known):
            raise ValueError(f"a vocabulary of {vocab_size}, but {len(self._known)} were seen")

    def likelihood(self, lines: Lines) -> Likelihood:
        """How likely lines are.

        A token that was never seen is as likely as any other unseen one where `vocab_size` was
        given, which has room for it; otherwise it has no probability.

        Raises:
            ValueError: there is no line.
        """
        total, tokens = 0.0, 0
        for line in lines:
            for gram in _ngrams(line, self._order):
                total += self._surprise(gram)
                tokens += 1
        if not tokens:
            raise ValueError("there is no line")
        return Likelihood(total / tokens, tokens)

    def _surprise(self, gram: tuple[Hashable, ...]) -> float:
        if self._closed and gram[-1] not in self._known:
            return math.inf
        above = self._counts[gram] + self._smoothing
        below = self._contexts[gram[:-1]] + self._smoothing * self._size
        return math.log(below / above) if above else math.inf


def _ngrams(line: Sequence[Hashable], order: int) -> Iterator[tuple[Hashable, ...]]:
    padded = [*[_BOUNDARY] * (order - 1), *line, _BOUNDARY]
    return zip(*(padded[start:] for start in range(order)), strict=False)
