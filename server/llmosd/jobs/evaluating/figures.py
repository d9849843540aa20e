"""What the outputs of a part are worth: figures, and the sums that decide them."""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmosd.jobs.evaluating.specs import Example, PreparedPart, Task
from llmosd.metrics.bleu import bleu_of_sums, bleu_statistics
from llmosd.metrics.bootstrap import OfSums
from llmosd.metrics.classification import classification_report, expected_calibration_error
from llmosd.metrics.metric import Settings
from llmosd.metrics.registry import METRICS, REFERENCE_FREE

Floats = NDArray[np.float64]
Said = dict[str, Any]

_ANSWERS = ("exact_match", "f1", "bleu", "chrf", "rouge", "distinct", "length")
_TO_TEXTS = ("texygen_bleu", "self_bleu", "distinct", "length")
# Whole-set figures of these are the means of their parts.
_MEANS = frozenset({"rouge", "exact_match", "f1", "self_bleu", "texygen_bleu", "final_number"})
_MOST_NAMED = 16


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a part.

    Attributes:
        name, value, signature: as a Metric's.
        each: the same of every example, in order; empty where it has no such parts.
        table: (examples or sets, columns) numbers whose sums decide the figure; None: none do.
        of_sums: see metrics.bootstrap; None: the mean of the table's one column.
    """

    name: str
    value: float
    each: Sequence[float] = ()
    table: Floats | None = field(default=None, repr=False)
    of_sums: OfSums | None = None
    signature: str = ""


@dataclass(frozen=True, slots=True)
class Material:
    """A part's judged examples: what was asked, and what was said, in the same order."""

    part: PreparedPart
    examples: Sequence[Example]
    said: Sequence[Said]
    references: Sequence[str] | None = None

    @property
    def settings(self) -> Settings:
        """Of metrics of texts."""
        spec = self.part.spec
        return Settings(units=spec.units, stemming=spec.stemming, max_order=spec.max_order)


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


def _mean(name: str, each: Sequence[float]) -> Figure:
    table = np.asarray(each, np.float64)
    return Figure(name, float(table.mean()), each, table)


def _of(name: str, table: Floats, of_sums: OfSums, each: Sequence[float] = ()) -> Figure:
    return Figure(name, float(of_sums(table.sum(0, keepdims=True))[0]), each, table, of_sums)


def _score(material: Material) -> list[Figure]:
    """Perplexity and bits per byte (of the tokens that are scored), and how often greedy is right.

    exp(-log-probability / tokens), and -log-probability / (ln 2 x bytes).
    """
    names = ("logprob", "tokens", "bytes", "hits")
    table = np.array([[said.get(name, 0) for name in names] for said in material.said], np.float64)
    each = np.exp(np.minimum(-table[:, 0] / table[:, 1], 700.0)).tolist()
    found = [
        _of("perplexity", table, lambda s: np.exp(np.minimum(-s[:, 0] / s[:, 1], 700.0)), each),
        _of("bits_per_byte", table, lambda s: -s[:, 0] / math.log(2) / s[:, 2]),
    ]
    if all("hits" in said for said in material.said):
        hits = (table[:, 3] / table[:, 1]).tolist()
        found.append(_of("token_accuracy", table, lambda s: s[:, 3] / s[:, 1], hits))
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
            of_sums = None
            if name == "bleu":
                table = bleu_statistics(hypotheses, references, material.settings)
                of_sums = bleu_of_sums
            found.append(Figure(key, value, each, table, of_sums, scores.signature))
    return found


def _classify(material: Material) -> list[Figure]:
    probabilities = [said["probabilities"] for said in material.said]
    labels = [example.input["label"] for example in material.examples]
    return _by_label(labels, probabilities)


def _by_label(labels: Sequence[str], probabilities: Sequence[dict[str, float]]) -> list[Figure]:
    """Figures of labels: a label that the model does not know is never right."""
    names = sorted({*labels, *(name for each in probabilities for name in each)})
    place = {name: at for at, name in enumerate(names)}
    chosen = [max(each, key=lambda name: (each[name], name)) for each in probabilities]
    right = [float(label == name) for label, name in zip(labels, chosen, strict=True)]
    pairs = [(place[a], place[b]) for a, b in zip(labels, chosen, strict=True)]
    wanted, taken = [a for a, _ in pairs], [b for _, b in pairs]
    report = classification_report(wanted, taken, len(names))
    macro = Figure("macro_f1", report.macro_f1)
    if len(names) <= _MOST_NAMED:  # the square of it for every example, else
        table = np.zeros((len(pairs), len(names) ** 2))
        table[np.arange(len(pairs)), [a * len(names) + b for a, b in pairs]] = 1
        macro = _of("macro_f1", table, _macro_f1(len(names)))
    confidences = [each[name] for each, name in zip(probabilities, chosen, strict=True)]
    lost = [
        -math.log(max(each.get(label, 0.0), 1e-12))
        for each, label in zip(probabilities, labels, strict=True)
    ]
    found = [
        _mean("accuracy", right),
        macro,
        _mean("log_loss", lost),
        Figure("calibration_error", expected_calibration_error(confidences, right)),
    ]
    if len(names) <= _MOST_NAMED:
        found += [Figure(f"f1:{name}", float(report.f1[place[name]])) for name in names]
    return found


def _macro_f1(classes: int) -> OfSums:
    def of_sums(sums: Floats) -> Floats:
        confusion = sums.reshape(-1, classes, classes)
        hits = np.diagonal(confusion, axis1=1, axis2=2)
        both = confusion.sum(2) + confusion.sum(1)
        f1 = np.where(both > 0, 2 * hits / np.maximum(both, 1), 0.0)
        shown: Floats = f1.sum(1) / np.maximum((both > 0).sum(1), 1)
        return shown

    return of_sums


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
        _mean("mse", ((got - want) ** 2).tolist()),
        _mean("mae", np.abs(got - want).tolist()),
        _of("correlation", table, correlation),
    ]


def _choose(material: Material) -> list[Figure]:
    labels = material.part.labels
    chances = [_softmax(said["logprobs"]) for said in material.said]
    if labels:
        return _by_label(
            [example.input["label"] for example in material.examples],
            [dict(zip(labels, each, strict=True)) for each in chances],
        )
    found: list[Figure] = []
    if all("answer" in example.input for example in material.examples):
        for name, over in (("accuracy", None), ("accuracy_norm", "bytes")):
            best = [
                float(_best(said, over) == example.input["answer"])
                for example, said in zip(material.examples, material.said, strict=True)
            ]
            found.append(_mean(name, best))
    if all("set" in example.input and "group" in example.input for example in material.examples):
        found += _between_groups(material, chances)
    if not found:
        raise ValueError('rows of choices need an "answer", or a "set" and a "group"')
    return found


def _between_groups(material: Material, chances: Sequence[Floats]) -> list[Figure]:
    """Counterfactual fairness: what changes when only the group does (Kusner et al., 2017).

    gap is the mean over sets of the total variation distance between two groups' distributions of
    choices, 0 to 1; flips the share of sets in which not every group gets the same choice.
    """
    sets: dict[str, list[Floats]] = defaultdict(list)
    groups: dict[str, list[float]] = defaultdict(list)
    for example, each in zip(material.examples, chances, strict=True):
        sets[example.input["set"]].append(each)
        groups[example.input["group"]].append(float(each[0]))
    whole = [each for each in sets.values() if len(each) > 1]
    if not whole:
        raise ValueError("no set has two groups to compare")
    gaps, flips = [], []
    for members in whole:
        pairs = [(a, b) for at, a in enumerate(members) for b in members[at + 1 :]]
        gaps.append(float(np.mean([np.abs(a - b).sum() / 2 for a, b in pairs])))
        flips.append(float(len({int(a.argmax()) for a in members}) > 1))
    found = [
        Figure(name, float(np.mean(values)), (), np.asarray(values))
        for name, values in (("gap", gaps), ("flips", flips))
    ]
    if len(groups) <= _MOST_NAMED:
        found += [Figure(f"first:{name}", float(np.mean(v))) for name, v in sorted(groups.items())]
    return found


def _best(said: Said, over: str | None) -> int:
    values = said["logprobs"]
    if over is not None:
        values = [value / size for value, size in zip(values, said[over], strict=True)]
    return int(np.argmax(values))


def _softmax(values: Sequence[float]) -> Floats:
    shares = np.exp(np.asarray(values, np.float64) - max(values))
    shown: Floats = shares / shares.sum()
    return shown


def _prefer(material: Material) -> list[Figure]:
    margins = [said["chosen"] - said["rejected"] for said in material.said]
    return [_mean("accuracy", [float(each > 0) for each in margins]), _mean("margin", margins)]


def _check(material: Material) -> list[Figure]:
    each = [
        float(passed(example.input, said["answer"]))
        for example, said in zip(material.examples, material.said, strict=True)
    ]
    return [_mean("pass_rate", each)]


_FIGURES: dict[Task, Callable[[Material], list[Figure]]] = {
    "score": _score,
    "answer": _answer,
    "classify": _classify,
    "regress": _regress,
    "choose": _choose,
    "prefer": _prefer,
    "check": _check,
}
