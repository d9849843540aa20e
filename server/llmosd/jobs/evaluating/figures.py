"""What the outputs of a part are worth: figures, and the sums that decide them."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from llmosd.jobs.evaluating.figure import Figure, Floats, Material, mean_of, of_sums_of
from llmosd.jobs.evaluating.label_figures import chosen, classified
from llmosd.jobs.evaluating.specs import Task
from llmosd.metrics.bleu import (
    bleu_of_sums,
    bleu_statistics,
    chrf_of_sums,
    chrf_statistics,
)
from llmosd.metrics.bootstrap import OfSums
from llmosd.metrics.registry import METRICS, REFERENCE_FREE

_ANSWERS = ("exact_match", "f1", "bleu", "chrf", "rouge", "distinct", "length")
_TO_TEXTS = ("texygen_bleu", "self_bleu", "distinct", "length")
# Whole-set figures of these are the means of their parts.
_MEANS = frozenset({"rouge", "exact_match", "f1", "self_bleu", "texygen_bleu", "final_number"})
# distinct_n and entropy_n have no interval: a set drawn with replacement says some texts twice.
_OF_SUMS = {"bleu": (bleu_statistics, bleu_of_sums), "chrf": (chrf_statistics, chrf_of_sums)}


def figures(material: Material) -> list[Figure]:
    """The figures of a part, the most telling first.

    Raises:
        ValueError: there is no example, or a metric needs more.
    """
    if not material.examples:
        raise ValueError("there is no example")
    task = material.part.spec.task
    assert task is not None, "prepared parts have a task"
    return _FIGURES[task](material)


def reference(row: dict[str, Any]) -> str | None:
    """The answer that stands in a row of pairs or chat, if one does."""
    if "completion" in row:
        return str(row["completion"])
    messages = row.get("messages") or [{"role": ""}]
    return str(messages[-1]["content"]) if messages[-1]["role"] == "assistant" else None


def passed(row: dict[str, Any], answer: str) -> bool:
    """Whether an answer has all that must be in it, and nothing that must not."""

    def has(pattern: str) -> bool:
        return re.search(pattern, answer, re.IGNORECASE) is not None

    return all(map(has, row.get("must", ()))) and not any(map(has, row.get("must_not", ())))


def _score(material: Material) -> list[Figure]:
    """Perplexity and bits per byte (of the tokens that are scored), and how often greedy is right.

    exp(-log-probability / tokens), and -log-probability / (ln 2 x bytes).
    """
    names = ("logprob", "tokens", "bytes", "hits")
    table = np.array([[said.get(name, 0) for name in names] for said in material.said], np.float64)
    each = np.exp(np.minimum(-table[:, 0] / table[:, 1], 700.0)).tolist()
    found = [
        of_sums_of(
            "perplexity", table, lambda s: np.exp(np.minimum(-s[:, 0] / s[:, 1], 700.0)), each
        ),
        of_sums_of("bits_per_byte", table, lambda s: -s[:, 0] / math.log(2) / s[:, 2]),
    ]
    if all("hits" in said for said in material.said):
        hits = (table[:, 3] / table[:, 1]).tolist()
        found.append(of_sums_of("token_accuracy", table, lambda s: s[:, 3] / s[:, 1], hits))
    return found


def _answer(material: Material) -> list[Figure]:
    hypotheses = [said["answer"] for said in material.said]
    references: Sequence[Sequence[str]]
    if material.references is not None:
        references = [material.references] * len(hypotheses)
    else:
        references = [[reference(example.input) or ""] for example in material.examples]
    default = _ANSWERS if material.references is None else _TO_TEXTS
    found = []
    for name in material.part.spec.metrics or default:
        if name == "self_bleu" and len(hypotheses) < 2:
            raise ValueError("self_bleu compares answers with each other; one is too few")
        scores = METRICS[name](material.settings)(
            hypotheses, [] if name in REFERENCE_FREE else references
        )
        for key, value in scores.values.items():
            each = scores.each.get(key, ())
            table = np.asarray(each, np.float64) if name in _MEANS and len(each) else None
            of_sums: OfSums | None = None
            if name in _OF_SUMS:
                statistics, of_sums = _OF_SUMS[name]
                table = statistics(hypotheses, references, material.settings)
            found.append(Figure(key, value, each, table, of_sums, scores.signature))
    return found


def _regress(material: Material) -> list[Figure]:
    """Mean squared and absolute errors, and Pearson's correlation."""
    want = np.array([example.input["score"] for example in material.examples], np.float64)
    got = np.array([said["grade"] for said in material.said], np.float64)
    table = np.stack([np.ones_like(want), want, got, want**2, got**2, want * got], 1)

    def correlation(s: Floats) -> Floats:
        count, x, y, xx, yy, xy = s.T
        spread = np.sqrt(np.maximum((count * xx - x**2) * (count * yy - y**2), 0))
        return np.where(spread > 0, (count * xy - x * y) / np.maximum(spread, 1e-300), 0.0)

    return [
        mean_of("mse", ((got - want) ** 2).tolist()),
        mean_of("mae", np.abs(got - want).tolist()),
        of_sums_of("correlation", table, correlation),
    ]


def _prefer(material: Material) -> list[Figure]:
    margins = [said["chosen"] - said["rejected"] for said in material.said]
    return [mean_of("accuracy", [float(each > 0) for each in margins]), mean_of("margin", margins)]


def _check(material: Material) -> list[Figure]:
    each = [
        float(passed(example.input, said["answer"]))
        for example, said in zip(material.examples, material.said, strict=True)
    ]
    return [mean_of("pass_rate", each)]


_FIGURES: dict[Task, Callable[[Material], list[Figure]]] = {
    "score": _score,
    "answer": _answer,
    "classify": classified,
    "regress": _regress,
    "choose": chosen,
    "prefer": _prefer,
    "check": _check,
}
