"""BLEU of single sentences by one large set of references, and of lines by all other lines.

Texygen's figures (Zhu et al., 2018): every reference counts for every hypothesis. NLTK, which they
were computed with, reads all references again for each hypothesis, minutes for each ten thousand;
here each is read once. n-grams are numbers in arrays, and what a reference can contribute is the
largest count of an n-gram in any single one.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Lines = Sequence[Sequence[str]]
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

EPSILON = 0.1
"""What stands for a count of no match: smoothing method 1 of Chen and Cherry, 2014."""


def sentence_bleu(hypotheses: Lines, references: Lines, max_order: int = 5) -> Floats:
    """(hypotheses, max_order) BLEU-1, BLEU-2, ... of each one by all references; 0 to 1.

    Papineni et al., 2002, of one sentence at a time: the geometric mean of the clipped precisions
    of n-grams up to the order, EPSILON standing for no match, times exp(1 - r / c) where the
    hypothesis' length c is below r, the length of the nearest reference (of two, the shorter). It
    is 0 where no word matches. Equals NLTK's `sentence_bleu` with equal weights and `method1`.

    Raises:
        ValueError: there is no reference.
    """
    if not len(references):
        raise ValueError("there is no reference")
    count = len(hypotheses)
    matches = np.zeros((count, max_order))
    for order, grams in enumerate(_ngrams([*hypotheses, *references], max_order)):
        known = grams.lines >= count
        best = np.zeros(grams.size, np.int64)
        np.maximum.at(best, grams.numbers[known], grams.counts[known])
        own = ~known
        clipped = np.minimum(grams.counts[own], best[grams.numbers[own]])
        matches[:, order] = np.bincount(grams.lines[own], clipped, count)
    lengths = _lengths(hypotheses)
    return _bleu(matches, lengths, _closest(lengths, np.unique(_lengths(references))))


def self_bleu(lines: Lines, max_order: int = 5) -> Floats:
    """(lines, max_order): `sentence_bleu` of each line by all the others; high is monotonous.

    Raises:
        ValueError: there is one line, or none.
    """
    if len(lines) < 2:
        raise ValueError("Self-BLEU compares a line with others: it needs two or more")
    matches = np.zeros((len(lines), max_order))
    for order, grams in enumerate(_ngrams(lines, max_order)):
        clipped = np.minimum(grams.counts, _best_elsewhere(grams))
        matches[:, order] = np.bincount(grams.lines, clipped, len(lines))
    lengths = _lengths(lines)
    return _bleu(matches, lengths, _closest_other(lengths))


class _Grams(NamedTuple):
    """Which n-gram is how often in which line: one entry for each pair that occurs.

    `size` is the number of different n-grams, which are numbered from 0.
    """

    lines: Integers
    numbers: Integers
    counts: Integers
    size: int


def _ngrams(lines: Lines, max_order: int) -> Iterator[_Grams]:
    """For each order from 1: an n-gram is the n-gram before, shorter by a word, and that word."""
    vocabulary: dict[str, int] = {}
    words = np.array(
        [vocabulary.setdefault(word, len(vocabulary)) for line in lines for word in line], np.int64
    )
    lengths = _lengths(lines)
    owners = np.repeat(np.arange(len(lines)), lengths)
    left = np.repeat(lengths.cumsum(), lengths) - np.arange(len(words))  # words to the line's end
    starts, numbers, size = np.arange(len(words)), words, len(vocabulary)
    for order in range(1, max_order + 1):
        if order > 1:
            keep = left[starts] >= order
            starts, prefixes = starts[keep], numbers[keep]
            pairs = prefixes * len(vocabulary) + words[starts + order - 1]
            different, numbers = np.unique(pairs, return_inverse=True)
            size = len(different)
        found, counts = np.unique(owners[starts] * max(size, 1) + numbers, return_counts=True)
        yield _Grams(found // max(size, 1), found % max(size, 1), counts, size)


def _best_elsewhere(grams: _Grams) -> Integers:
    """For each entry, the largest count of its n-gram in any other line."""
    order = np.lexsort((-grams.counts, grams.numbers))
    numbers, counts = grams.numbers[order], grams.counts[order]
    first = np.searchsorted(numbers, np.arange(grams.size))
    second = np.minimum(first + 1, max(len(numbers) - 1, 0))
    runner_up = np.where(numbers[second] == np.arange(grams.size), counts[second], 0)
    # The last n-gram's second place is its first where it is in one line only.
    runner_up[second == first] = 0
    holder = grams.lines[order][first]
    alone = holder[grams.numbers] == grams.lines
    return np.where(alone, runner_up[grams.numbers], counts[first][grams.numbers])


def _lengths(lines: Lines) -> Integers:
    return np.array([len(line) for line in lines], np.int64)


def _closest(lengths: Integers, known: Integers) -> Integers:
    """Of sorted, different `known` lengths, each one's nearest; the shorter of two."""
    above = np.searchsorted(known, lengths)
    longer = known[np.minimum(above, len(known) - 1)]
    shorter = known[np.maximum(above - 1, 0)]
    return np.where(np.abs(shorter - lengths) <= np.abs(longer - lengths), shorter, longer)


def _closest_other(lengths: Integers) -> Integers:
    """The same among the other lines: one's own length only where another line has it, too."""
    known, places, counts = np.unique(lengths, return_inverse=True, return_counts=True)
    nearest = known.copy()
    for place in np.flatnonzero(counts == 1):
        nearest[place] = _closest(known[place : place + 1], np.delete(known, place))[0]
    return nearest[places]


def _bleu(matches: Floats, lengths: Integers, closest: Integers) -> Floats:
    """From (lines, orders) matches."""
    orders = np.arange(1, matches.shape[1] + 1)
    totals = np.maximum(lengths[:, None] - orders + 1, 1)
    logs = np.log(np.where(matches == 0, EPSILON, matches) / totals)
    penalty = np.minimum(0.0, 1 - closest / np.maximum(lengths, 1))
    scores = np.exp(logs.cumsum(1) / orders + penalty[:, None])
    return np.where(matches[:, :1] == 0, 0.0, scores)
