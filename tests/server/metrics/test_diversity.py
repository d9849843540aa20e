"""Diversity and lengths against definitions written out."""

import math
import statistics

import pytest

from llmosd.metrics.diversity import (
    Distinct,
    Length,
    SelfBleu,
    distinct_n,
    length_distribution,
    ngram_entropy,
)
from llmosd.metrics.metric import Settings
from llmosd.metrics.sentence_bleu import self_bleu
from llmosd.metrics.tokens import words

LINES = [["a", "b", "a", "b"], ["a", "c"], ["b"], []]


@pytest.mark.parametrize(("order", "expected"), [(1, 3 / 7), (2, 3 / 4), (3, 1.0), (5, 0.0)])
def test_distinct(order, expected):
    """ab ba ab and ac: three of four. n-grams do not reach from a line into the next."""
    assert distinct_n(LINES, order) == pytest.approx(expected)


def test_distinct_falls_with_repetition():
    """Once more of the same halves it; nothing said twice is 1."""
    assert distinct_n(LINES * 2, 2) == pytest.approx(3 / 8)
    assert distinct_n([[1, 2, 3], [4, 5]], 1) == 1


def test_entropy():
    """ln of the number where all are as frequent, less where not; 0 for one, and for none."""
    assert ngram_entropy([["a", "b", "c", "d"]], 1) == pytest.approx(math.log(4))
    expected = -2 * 3 / 7 * math.log(3 / 7) - 1 / 7 * math.log(1 / 7)
    assert ngram_entropy(LINES, 1) == pytest.approx(expected)
    assert ngram_entropy([["a"] * 9], 2) == 0
    assert ngram_entropy([], 1) == 0
    # What distinct-n does not see: one that is frequent among rare ones.
    even, uneven = [["a", "b"] * 5], [["a"] * 9, ["b"]]
    assert distinct_n(even, 1) == distinct_n(uneven, 1)
    assert ngram_entropy(even, 1) > 2 * ngram_entropy(uneven, 1)


def test_lengths():
    """Against the standard library."""
    sizes = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5]
    lengths = length_distribution([["w"] * size for size in sizes])
    assert lengths.mean == pytest.approx(statistics.fmean(sizes))
    assert lengths.deviation == pytest.approx(statistics.pstdev(sizes))
    cuts = statistics.quantiles(sizes, n=20, method="inclusive")
    assert lengths.quantiles == pytest.approx([cuts[at] for at in (0, 4, 9, 14, 18)])
    with pytest.raises(ValueError, match="no line"):
        length_distribution([])


def test_distinct_metric():
    """Punctuation and case are the tokens' business."""
    scores = Distinct(Settings(max_order=2))(["A dog. A cat.", "a dog"], [])
    assert scores.values["distinct_1"] == pytest.approx(4 / 8)
    assert scores.values["distinct_2"] == pytest.approx(5 / 6)
    assert set(scores.values) == {"distinct_1", "distinct_2", "entropy_1", "entropy_2"}
    chinese = Distinct(Settings(units="characters", max_order=1))(["好好好"], [])
    assert chinese.values["distinct_1"] == pytest.approx(1 / 3)


def test_self_bleu_metric():
    """Copies are 1, strangers 0; figures are means of their parts."""
    texts = ["a dog on the beach .", "a cat on the beach .", "two birds"]
    scores = SelfBleu(Settings(max_order=3))(texts, [])
    table = self_bleu([words(text) for text in texts], 3)
    assert list(scores.values) == ["self_bleu_2", "self_bleu_3"]
    assert scores.each["self_bleu_3"] == table[:, 2].tolist()
    assert scores.values["self_bleu_3"] == pytest.approx(table[:, 2].mean())
    same = SelfBleu(Settings())(["the same words again here"] * 3, [])
    assert set(same.values.values()) == {1.0}
    apart = SelfBleu(Settings())(["one two", "three four"], [])
    assert set(apart.values.values()) == {0.0}


def test_length_metric():
    """Tokens, not letters."""
    scores = Length(Settings())(["One two three.", "one", ""], [])
    assert scores.each["length_mean"] == [4.0, 1.0, 0.0]
    assert scores.values["length_mean"] == pytest.approx(5 / 3)
    assert scores.values["length_p50"] == 1.0
    assert list(scores.values)[2:] == [
        f"length_p{share}" for share in ("05", "25", "50", "75", "95")
    ]
