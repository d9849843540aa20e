"""Figures of evaluations against their definitions, and against sklearn-like formulas in NumPy."""

import math

import numpy as np
import pytest

from llmosd.jobs.evaluating.figure import Material
from llmosd.jobs.evaluating.figures import figures, passed
from llmosd.jobs.evaluating.specs import Example, PartSpec, PreparedPart
from llmosd.metrics.bootstrap import confidence_interval


def material(task, rows, said, *, labels=(), references=None, **spec):
    part = PreparedPart(
        spec=PartSpec(name="n", data="d", task=task, **spec),
        kind="text",
        examples=len(rows),
        digest="",
        labels=list(labels),
    )
    examples = [Example(at, row) for at, row in enumerate(rows)]
    return Material(part, examples, said, references)


def values(*args, **more):
    return {figure.name: figure.value for figure in figures(material(*args, **more))}


def test_score():
    """Over all tokens together, not the mean of the texts' perplexities."""
    said = [
        {"logprob": -10.0, "tokens": 5, "bytes": 20, "hits": 2},
        {"logprob": -1.0, "tokens": 1, "bytes": 3, "hits": 1},
    ]
    found = values("score", [{"text": "a"}, {"text": "b"}], said)
    assert found["perplexity"] == pytest.approx(math.exp(11 / 6))
    assert found["bits_per_byte"] == pytest.approx(11 / math.log(2) / 23)
    assert found["token_accuracy"] == 0.5
    without = values("score", [{"text": "a"}], [{"logprob": -1.0, "tokens": 1, "bytes": 1}])
    assert "token_accuracy" not in without


def test_labels():
    """Accuracy, macro F1, log-loss; a label that the model does not know is never right."""
    labels = ["a", "a", "b", "c"]
    chances = [
        {"a": 0.9, "b": 0.1},
        {"a": 0.4, "b": 0.6},
        {"a": 0.2, "b": 0.8},
        {"a": 0.7, "b": 0.3},
    ]
    found = values(
        "classify",
        [{"text": "x", "label": label} for label in labels],
        [{"probabilities": each} for each in chances],
    )
    assert found["accuracy"] == 0.5
    f1 = {"a": 2 * 1 / (2 + 2), "b": 2 * 1 / (1 + 2), "c": 0.0}
    assert found["macro_f1"] == pytest.approx(sum(f1.values()) / 3)
    assert {name: found[f"f1:{name}"] for name in f1} == pytest.approx(f1)
    lost = -(math.log(0.9) + math.log(0.4) + math.log(0.8) + math.log(1e-12)) / 4
    assert found["log_loss"] == pytest.approx(lost)


def test_macro_f1_of_sums_is_that_of_the_report():
    """What the bootstrap draws is the figure itself."""
    rng = np.random.default_rng(0)
    rows = [{"text": "x", "label": str(each)} for each in rng.integers(3, size=50)]
    said = [
        {"probabilities": dict(zip("012", each, strict=True))}
        for each in rng.dirichlet([1] * 3, 50)
    ]
    macro = next(f for f in figures(material("classify", rows, said)) if f.name == "macro_f1")
    by_class = [
        f.value for f in figures(material("classify", rows, said)) if f.name.startswith("f1:")
    ]
    assert macro.value == pytest.approx(np.mean(by_class))
    interval = confidence_interval(macro.table, of_sums=macro.of_sums)
    assert interval.estimate == pytest.approx(macro.value)
    assert interval.low < macro.value < interval.high


def test_grades():
    """The mean, without the half that some put before it; NumPy's correlation."""
    rng = np.random.default_rng(1)
    want, noise = rng.normal(size=30), rng.normal(size=30)
    got = want + noise
    found = values(
        "regress",
        [{"text": "x", "score": float(each)} for each in want],
        [{"grade": float(each)} for each in got],
    )
    assert found["mse"] == pytest.approx(np.mean(noise**2))
    assert found["mae"] == pytest.approx(np.mean(np.abs(noise)))
    assert found["correlation"] == pytest.approx(np.corrcoef(want, got)[0, 1])


def test_choices():
    """By the sum, and by the sum over the choice's bytes."""
    rows = [{"prompt": "p", "choices": ["x", "xxxx"], "answer": 1}] * 2
    said = [{"logprobs": [-2.0, -4.0], "bytes": [1, 4]}] * 2
    found = values("choose", rows, said)
    assert (found["accuracy"], found["accuracy_norm"]) == (0.0, 1.0)
    labelled = values(
        "choose",
        [{"text": "t", "label": "b"}],
        [{"logprobs": [math.log(0.2), math.log(0.3)], "bytes": [1, 1]}],
        labels=["a", "b"],
    )
    assert labelled["accuracy"] == 1.0
    assert labelled["log_loss"] == pytest.approx(-math.log(0.6))


def test_groups():
    """The gap is the total variation distance; equal treatment has none, and flips nothing."""

    def row(group, at):
        return {"prompt": "p", "choices": ["x", "y"], "set": str(at), "group": group}

    def said(chance):
        return {"logprobs": [math.log(chance), math.log(1 - chance)], "bytes": [1, 1]}

    rows = [row("A", 0), row("B", 0), row("A", 1), row("B", 1)]
    found = values("choose", rows, [said(0.7), said(0.4), said(0.5), said(0.5)])
    assert found["gap"] == pytest.approx((0.3 + 0.0) / 2)
    assert found["flips"] == 0.5
    assert found["first:A"] == pytest.approx(0.6)
    equal = values("choose", rows, [said(0.7)] * 4)
    assert (equal["gap"], equal["flips"]) == (0.0, 0.0)
    with pytest.raises(ValueError, match="no set has two groups"):
        values("choose", [row("A", 0), row("B", 1)], [said(0.5)] * 2)


def test_checks():
    """All that must be there, nothing that must not; case apart."""
    row = {"prompt": "p", "must": ["yes"], "must_not": ["SECRET"]}
    assert passed(row, "Yes, of course")
    assert not passed(row, "Yes, the secret is")
    assert not passed(row, "No")
    assert passed({"prompt": "p"}, "")


def test_answers_to_texts_know_all_texts():
    """Texygen's BLEU, where any text may be the reference."""
    texts = ["a b c d e f", "g h i j k l"]
    found = values(
        "answer", [{}, {}], [{"answer": "g h i j k l"}] * 2,
        references=texts, metrics=("texygen_bleu", "self_bleu"), max_order=2,
    )  # fmt: skip
    assert found["texygen_bleu_2"] == pytest.approx(1.0)
    assert found["self_bleu_2"] == pytest.approx(1.0)
    with pytest.raises(ValueError, match="one is too few"):
        values("answer", [{}], [{"answer": "x"}], references=texts, metrics=("self_bleu",))
