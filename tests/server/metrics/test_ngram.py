"""The counting model against makemore's figures and definitions written out."""

import math
import random

import pytest

from llmosd.metrics.ngram import _BOUNDARY, NgramModel


@pytest.fixture(scope="module")
def names(shared_data):
    return shared_data("names.txt").read_text().splitlines()


def test_makemore(names):
    """Karpathy's bigrams: 2.4540 as counted, 2.4546 with one added to each count."""
    assert len(names) == 32033
    counted = NgramModel(names).likelihood(names)
    assert counted.tokens == 228146
    assert f"{counted.nll:.4f}" == "2.4540"
    assert f"{NgramModel(names, smoothing=1).likelihood(names).nll:.4f}" == "2.4546"
    # The controls: without contexts, and with longer ones.
    assert NgramModel(names, order=1).likelihood(names).nll > 2.8
    assert NgramModel(names, order=3).likelihood(names).nll < 2.2


def test_by_hand():
    """Of "ab" and "a": after the boundary always a, after a either b or the end."""
    model = NgramModel(["ab", "a"])
    found = model.likelihood(["ab"])
    assert found.tokens == 3
    assert found.nll == pytest.approx(math.log(2) / 3)
    smoothed = NgramModel(["ab", "a"], smoothing=1)
    # V is 3: a, b and the end.
    expected = -(math.log(3 / 5) + math.log(2 / 5) + math.log(2 / 4)) / 3
    assert smoothed.likelihood(["ab"]).nll == pytest.approx(expected)
    assert NgramModel(["ab", "a"], order=1).likelihood([""]).nll == pytest.approx(math.log(5 / 2))


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_probabilities_sum_to_one(order):
    """After any context, seen or not: of eight tokens, three of which nobody saw, and the end."""
    rng = random.Random(order)
    lines = [rng.choices(range(5), k=rng.randint(0, 8)) for _ in range(30)]
    model = NgramModel(lines, order, smoothing=0.3, vocab_size=9)
    for context in ([], [0, 1, 2], [7, 7, 7], [4, 4, 4]):
        before = [*[_BOUNDARY] * 3, *context][len(context) + 4 - order :]
        nexts = [*range(8), _BOUNDARY]
        total = sum(math.exp(-model._surprise((*before, token))) for token in nexts)
        assert total == pytest.approx(1)


def test_unseen():
    """No probability as counted; some with smoothing; a strange token only where there is room."""
    assert NgramModel(["ab"]).likelihood(["ba"]).nll == math.inf
    assert NgramModel(["ab"], smoothing=1).likelihood(["ba"]).nll < math.inf
    assert NgramModel(["ab"], smoothing=1).likelihood(["z"]).nll == math.inf
    # V is 10: after the boundary, which was seen once, and after z, which never was.
    roomy = NgramModel(["ab"], smoothing=1, vocab_size=10).likelihood(["z"])
    assert roomy.nll == pytest.approx((math.log(11) + math.log(10)) / 2)


def test_arguments():
    """Refused where they mean nothing."""
    for arguments in ({"order": 0}, {"smoothing": -1}, {"vocab_size": 2}):
        with pytest.raises(ValueError, match=r"order|vocabulary"):
            NgramModel(["ab"], **arguments)
    with pytest.raises(ValueError, match="no line"):
        NgramModel(["ab"]).likelihood([])
