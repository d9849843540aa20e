"""Intervals against every possible set, against theory, and against sacrebleu's."""

import itertools
import math

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.significance import PairedTest

from llmosd.metrics.bleu import bleu_of_sums, bleu_statistics
from llmosd.metrics.bootstrap import confidence_interval, paired_bootstrap
from llmosd.metrics.metric import Settings

VALUES = [3.1, 0.4, 2.2, 5.9, 1.7]
OTHERS = [2.0, 0.9, 2.2, 4.1, 1.9]


def every_mean(values):
    """Means of all n^n sets of n examples."""
    return np.array(
        [sum(each) / len(values) for each in itertools.product(values, repeat=len(values))]
    )


def test_interval_of_every_set():
    """20,000 sets of 3,125 possible ones: their quantiles."""
    low, high = np.quantile(every_mean(VALUES), [0.05, 0.95])
    found = confidence_interval(VALUES, level=0.9, resamples=20_000, seed=3)
    assert found.estimate == pytest.approx(np.mean(VALUES))
    assert found.low == pytest.approx(low, abs=0.06)
    assert found.high == pytest.approx(high, abs=0.06)
    wider = confidence_interval(VALUES, level=0.99, resamples=20_000, seed=3)
    assert wider.low < found.low - 0.2
    assert wider.high > found.high + 0.2


def test_comparison_of_every_set():
    """Wins, interval and p-value likewise."""
    differences = every_mean(np.subtract(VALUES, OTHERS))
    real = np.mean(VALUES) - np.mean(OTHERS)
    found = paired_bootstrap(VALUES, OTHERS, resamples=20_000, seed=1)
    assert found.difference == pytest.approx(real)
    assert found.wins == pytest.approx((differences > 1e-12).mean(), abs=0.01)
    p_value = (np.abs(differences - real) >= abs(real)).mean()
    assert found.p_value == pytest.approx(p_value, abs=0.01)
    assert [found.low, found.high] == pytest.approx(
        np.quantile(differences, [0.025, 0.975]), abs=0.06
    )


def test_coverage():
    """Of 300 samples of 80, the interval of 95 % has the true mean in about so many."""
    rng = np.random.default_rng(5)
    samples = rng.exponential(size=(300, 80))
    intervals = [confidence_interval(each, resamples=400) for each in samples]
    covered = np.mean([each.low <= 1.0 <= each.high for each in intervals])
    assert 0.90 < covered < 0.98
    # The control: the interval of another mean has not.
    assert np.mean([each.low <= 1.6 <= each.high for each in intervals]) < 0.2


def test_pairs_see_more():
    """A small, steady difference is certain in pairs and lost between two intervals."""
    rng = np.random.default_rng(2)
    second = rng.normal(size=400)
    first = second + rng.normal(0.1, 0.3, size=400)
    found = paired_bootstrap(first, second)
    assert found.wins > 0.99
    assert found.p_value < 0.01
    assert found.low > 0
    assert confidence_interval(first).low < confidence_interval(second).high
    turned = paired_bootstrap(second, first)
    assert turned.difference == pytest.approx(-found.difference)
    assert turned.wins == pytest.approx(1 - found.wins)


def test_no_difference():
    """Of equals: all ties. Of noise: rarely called a difference, by 200 tries."""
    same = paired_bootstrap(VALUES, VALUES)
    assert same[:4] == (0, 0, 0, 0.5)
    assert same.p_value == 1
    rng = np.random.default_rng(8)
    called = [
        paired_bootstrap(*rng.normal(size=(2, 50)), resamples=200).p_value < 0.05
        for _ in range(200)
    ]
    assert 0.01 < np.mean(called) < 0.12


def test_seed():
    """The same seed, the same bounds; another seed, others."""
    first = confidence_interval(VALUES, seed=4, resamples=50)
    assert confidence_interval(VALUES, seed=4, resamples=50) == first
    assert confidence_interval(VALUES, seed=5, resamples=50) != first


def test_corpus_bleu(summaries):
    """Koehn's test as sacrebleu does it: half of the interval's width, and the figures."""
    systems = {}
    for name in ("convs2s", "ptgen"):
        texts, references = summaries(name)
        systems[name] = texts[:600]
    references = references[:600]
    tables = [bleu_statistics(texts, references, Settings()) for texts in systems.values()]
    test = PairedTest(
        list(systems.items()), {"BLEU": BLEU()}, [[text for (text,) in references]], "bs", 500
    )
    expected = test()[1]["BLEU"]
    for table, theirs in zip(tables, expected, strict=True):
        found = confidence_interval(table, of_sums=bleu_of_sums, resamples=500)
        assert found.estimate == pytest.approx(theirs.score)
        assert (found.high - found.low) / 2 == pytest.approx(theirs.ci, rel=0.15)
    found = paired_bootstrap(*tables, of_sums=bleu_of_sums, resamples=500)
    assert found.difference == pytest.approx(expected[0].score - expected[1].score)
    assert found.wins > 0.9
    # Without pairs the difference would be less certain than it is.
    widths = [math.hypot(*(each.ci for each in expected)), (found.high - found.low) / 2]
    assert widths[1] < widths[0]


@pytest.mark.parametrize("values", [[], [1.0], [1.0, float("nan")], np.zeros((2, 2, 2))])
def test_refused(values):
    """Too few examples, no numbers."""
    with pytest.raises(ValueError, match=r"examples|finite"):
        confidence_interval(values)


def test_other_examples():
    """Two systems on different numbers of examples cannot be compared in pairs."""
    with pytest.raises(ValueError, match="not of the same"):
        paired_bootstrap([1, 2, 3], [1, 2])
