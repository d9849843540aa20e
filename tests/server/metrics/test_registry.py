"""What holds for every metric by its name."""

import math
import subprocess
import sys

import pytest

from llmosd.metrics.metric import Settings
from llmosd.metrics.registry import METRICS, REFERENCE_FREE

TEXTS = ["The cat sat on the mat.", "It rains in Paris today.", "", "我们去北京。"]
REFERENCES = [
    ["A cat sat on the mat."],
    ["It is raining in Paris.", "Rain"],
    ["empty"],
    ["我去北京。"],
]
REFERENCED = sorted(set(METRICS) - REFERENCE_FREE)


@pytest.mark.parametrize("units", ["words", "characters"])
@pytest.mark.parametrize("name", METRICS)
def test_figures(name, units):
    """Finite, with a part for each text where there are parts, the same each time."""
    metric = METRICS[name](Settings(units=units))
    scores = metric(TEXTS, REFERENCES)
    assert scores.values
    assert all(math.isfinite(value) for value in scores.values.values())
    assert set(scores.each) <= set(scores.values)
    assert all(len(parts) == len(TEXTS) for parts in scores.each.values())
    assert metric(TEXTS, REFERENCES) == scores


@pytest.mark.parametrize("name", sorted(set(METRICS) - {"distinct", "bleu", "chrf"}))
def test_figures_are_means(name):
    """So an interval of the parts is one of the figure; BLEU and chrF say that theirs are not."""
    scores = METRICS[name](Settings())(TEXTS, REFERENCES)
    assert scores.each
    for figure, parts in scores.each.items():
        assert scores.values[figure] == pytest.approx(math.fsum(parts) / len(parts))


@pytest.mark.parametrize("name", REFERENCED)
def test_perfect_and_wrong(name):
    """A reference is the best answer there is, and another language's the worst."""
    metric = METRICS[name](Settings())
    texts = ["the small cat sat on the old mat #### 4", "it is raining in paris again #### 7"]
    best = metric(texts, [[text] for text in texts])
    top = 100 if name in {"bleu", "chrf"} else 1
    assert list(best.values.values()) == pytest.approx([top] * len(best.values))
    worst = metric(["xyz uvw", "qqq jjj kkk"], [[text] for text in texts])
    assert max(worst.values.values()) < 0.1 * top


@pytest.mark.parametrize("name", REFERENCED)
@pytest.mark.parametrize(("texts", "references", "message"), [
    ([], [], "no hypothesis"),
    (["a"], [], "references for 0"),
    (["a", "b"], [["a"], []], "hypothesis 1 has no reference"),
])  # fmt: skip
def test_missing(name, texts, references, message):
    """Nothing to judge, or nothing to judge by."""
    with pytest.raises(ValueError, match=message):
        METRICS[name](Settings())(texts, references)


@pytest.mark.parametrize("name", sorted(REFERENCE_FREE))
def test_without_references(name):
    """They do not look at them; and there must be something to look at."""
    metric = METRICS[name](Settings())
    assert metric(TEXTS, []) == metric(TEXTS, REFERENCES)
    with pytest.raises(ValueError, match=r"no hypothesis|two or more"):
        metric([], [])


def test_units_are_in_signatures():
    """Figures of words and of characters are not to be compared; some know neither."""
    for name in set(METRICS) - {"chrf", "final_number"}:
        one = METRICS[name](Settings())(TEXTS, REFERENCES).signature
        two = METRICS[name](Settings(units="characters"))(TEXTS, REFERENCES).signature
        assert one
        assert one != two, name


def test_light():
    """The registry brings neither sacrebleu nor torch in; BLEU does, when it is computed."""
    code = (
        "import sys; from llmosd.metrics.registry import METRICS;"
        "from llmosd.metrics.metric import Settings; print(*sys.modules);"
        "METRICS['bleu'](Settings())(['a'], [['a']]); print('sacrebleu' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, later = done.stdout.splitlines()
    assert not {"sacrebleu", "torch", "nltk", "numba", "rouge_score"} & set(loaded.split())
    assert later == "True"
