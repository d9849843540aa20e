"""Sentence BLEU against NLTK, and against the figures that Texygen published.

All 48 are published: docs/evaluation.md of github.com/geek-ai/Texygen at 3104e22ac7 has the three
tables (BLEU on the original and on the test dataset, Self-BLEU) for these four models, whose 9,984
samples are there too. Ours are off by 0.001 at most; rounding to three places makes half of that.
"""

import random

import numpy as np
import pytest
from nltk.translate import bleu_score

from llmosd.metrics.sentence_bleu import self_bleu, sentence_bleu
from llmosd.metrics.tokens import words

TOLERANCE = 0.0015
# Orders 2 to 5 each.
PUBLISHED = {
    "mle": {
        "test": (0.731, 0.497, 0.305, 0.189),
        "train": (0.921, 0.768, 0.570, 0.392),
        "self": (0.916, 0.769, 0.583, 0.408),
    },
    "seq": {
        "test": (0.745, 0.498, 0.294, 0.180),
        "train": (0.917, 0.747, 0.530, 0.348),
        "self": (0.950, 0.840, 0.670, 0.489),
    },
    "leakgan": {
        "test": (0.746, 0.528, 0.355, 0.230),
        "train": (0.926, 0.816, 0.660, 0.470),
        "self": (0.966, 0.913, 0.848, 0.780),
    },
    "textgan": {
        "test": (0.593, 0.463, 0.277, 0.207),
        "train": (0.650, 0.645, 0.596, 0.523),
        "self": (0.942, 0.931, 0.804, 0.746),
    },
}


@pytest.fixture(scope="module")
def texygen(shared_data):
    """Lines of one of Texygen's files as tokens."""
    cut = {}

    def lines(name, tokenize=words):
        key = name, tokenize
        if key not in cut:
            text = shared_data(f"texygen.{name}.txt").read_text()
            cut[key] = [tokenize(line) for line in text.splitlines()]
        return cut[key]

    return lines


@pytest.mark.parametrize("model", PUBLISHED)
def test_texygen(texygen, model):
    """Twelve figures of a model: by the test captions, by the training captions, by itself."""
    lines, published = texygen(model), PUBLISHED[model]
    scores = {
        "test": sentence_bleu(lines, texygen("coco.test")),
        "train": sentence_bleu(lines, texygen("coco.train")),
        "self": self_bleu(lines),
    }
    for name, table in scores.items():
        assert table.shape == (9984, 5)
        assert table.mean(0)[1:] == pytest.approx(published[name], abs=TOLERANCE), name


def test_texygen_needs_punctuation_split(texygen):
    """The control: with "night." as a word, the figures are off by twenty tolerances."""
    published = np.array(PUBLISHED["mle"]["test"])
    table = sentence_bleu(texygen("mle", str.split), texygen("coco.test", str.split))
    assert (np.abs(table.mean(0)[1:] - published) > 10 * TOLERANCE).all()
    assert abs(table.mean(0)[1] - published[0]) > 20 * TOLERANCE


def test_texygen_needs_every_reference(texygen):
    """And so they are by the first 500 captions, as Texygen's quick mode has them."""
    table = sentence_bleu(texygen("mle"), texygen("coco.test")[:500])
    assert table.mean(0)[1] < PUBLISHED["mle"]["test"][0] - 20 * TOLERANCE


def nltk_bleu(references, hypothesis, order):
    smoothing = bleu_score.SmoothingFunction().method1
    weights = (1 / order,) * order
    return bleu_score.sentence_bleu(references, hypothesis, weights, smoothing)


def invented(rng, count, longest):
    """Lines of few words, so that n-grams repeat, in a line and among lines; some are empty."""
    return [rng.choices("abcde", k=rng.randint(0, longest)) for _ in range(count)]


@pytest.mark.parametrize("seed", range(3))
def test_equals_nltk(seed):
    """Every order of every line, to rounding; empty and short lines too."""
    rng = random.Random(seed)
    hypotheses, references = invented(rng, 40, 9), invented(rng, 25, 12)
    table = sentence_bleu(hypotheses, references, 5)
    for line, row in zip(hypotheses, table, strict=True):
        expected = [nltk_bleu(references, line, order) for order in range(1, 6)]
        assert row == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_self_bleu_equals_nltk(seed):
    """Each line left out of its own references; twins, and lengths that one line alone has."""
    rng = random.Random(seed)
    lines = invented(rng, 25, 7)
    lines += [lines[3], ["a"] * 15, ["b", "z"]]
    table = self_bleu(lines, 5)
    for at, row in enumerate(table):
        others = lines[:at] + lines[at + 1 :]
        expected = [nltk_bleu(others, lines[at], order) for order in range(1, 6)]
        assert row == pytest.approx(expected, abs=1e-12), at
    # The control: a line among its own references is always found there.
    assert sentence_bleu(lines, lines, 5).mean() > table.mean() + 0.05


def test_self_bleu_of_the_shortest():
    """Its own length is no reference's: the nearest one is that of the shortest other line."""
    lines = [["a", "b"], ["a", "b", "c", "d", "e"], ["a", "b", "c"] * 2]
    expected = nltk_bleu(lines[1:], lines[0], 2)
    assert self_bleu(lines, 2)[0, 1] == pytest.approx(expected)
    assert expected == pytest.approx(np.exp(1 - 5 / 2))


def test_of_two_nearest_references_the_shorter():
    """Six words between references of four and eight: four, which costs nothing."""
    hypothesis = ["a", "b", "c", "d", "e", "f"]
    table = sentence_bleu([hypothesis], [hypothesis[:4], [*hypothesis, "g", "h"]], 1)
    assert table[0, 0] == 1.0
    assert sentence_bleu([hypothesis], [[*hypothesis, "g", "h"]], 1)[0, 0] < 0.75


def test_nothing_to_compare_with():
    """No reference, and a line alone, are mistakes; no hypothesis is an empty table."""
    with pytest.raises(ValueError, match="no reference"):
        sentence_bleu([["a"]], [])
    with pytest.raises(ValueError, match="two or more"):
        self_bleu([["a"]])
    assert sentence_bleu([], [["a"]], 3).shape == (0, 3)
    assert not sentence_bleu([[]], [["a"]]).any()
    assert not self_bleu([[], []]).any()
