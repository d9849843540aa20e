"""The stemmer against NLTK's, word by word."""

import random
import re

import pytest
from nltk.stem.porter import PorterStemmer

from llmosd.metrics.porter import _STEP2, _STEP3, _STEP4, stem

ENDINGS = [*_STEP2, *_STEP3, *_STEP4, "ed", "ing", "s", "ies", "ied", "eed", "sses", "y", "e", "ll",
           "ion", "logi", "ization", "fulli", "alli", ""]  # fmt: skip


@pytest.mark.parametrize(("word", "expected"), [
    ("caresses", "caress"), ("ponies", "poni"), ("dies", "die"), ("agreed", "agre"),
    ("feed", "feed"), ("hopping", "hop"), ("hoping", "hope"), ("falling", "fall"),
    ("always", "alway"), ("relational", "relat"), ("adoption", "adopt"), ("skies", "sky"),
    ("controlling", "control"), ("as", "as"), ("", ""), ("yyyy", "yyyi"),
])  # fmt: skip
def test_examples(word, expected):
    """Most are the paper's own, the rest NLTK's changes to it."""
    assert stem(word) == expected == PorterStemmer().stem(word)


def test_invented_words():
    """Every suffix of every step, after any letters, up to three of them."""
    rng = random.Random(0)
    oracle = PorterStemmer()
    for _ in range(20_000):
        start = "".join(rng.choices("aeiouybcdlstzwx1", k=rng.randint(0, 5)))
        word = start + "".join(rng.choices(ENDINGS, k=rng.randint(1, 3)))
        assert stem(word) == oracle.stem(word), word


def test_every_word_of_xsum(xsum):
    """Gold summaries and the extractive oracle's sentences; the paper's own rules differ there."""
    vocabulary = set()
    for name in ("gold-test-sentences.txt", "ext-oracle-test-output.txt"):
        vocabulary |= set(re.findall("[a-z0-9]+", (xsum / name).read_text().lower()))
    oracle, paper = PorterStemmer(), PorterStemmer(mode=PorterStemmer.ORIGINAL_ALGORITHM)
    assert len(vocabulary) > 25_000
    assert [word for word in vocabulary if stem(word) != oracle.stem(word)] == []
    some = sorted(vocabulary)[::20]
    assert sum(stem(word) != paper.stem(word) for word in some) > 0.01 * len(some)
