"""Figures of labels and of choices: how often they are right, and who is treated alike."""

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from llmosd.jobs.evaluating.figure import (
    MOST_NAMED,
    Figure,
    Floats,
    Material,
    Said,
    mean_of,
    of_sums_of,
)
from llmosd.metrics.bootstrap import OfSums
from llmosd.metrics.classification import (
    calibration_of_sums,
    calibration_statistics,
    classification_report,
)


def classified(material: Material) -> list[Figure]:
    """Of a model that gives labels."""
    probabilities = [said["probabilities"] for said in material.said]
    labels = [example.input["label"] for example in material.examples]
    return _by_label(labels, probabilities)


def _by_label(labels: Sequence[str], probabilities: Sequence[dict[str, float]]) -> list[Figure]:
    """Figures of labels: a label that the model does not know is never right."""
    names = sorted({*labels, *(name for each in probabilities for name in each)})
    place = {name: at for at, name in enumerate(names)}
    taken_for = [max(each, key=lambda name: (each[name], name)) for each in probabilities]
    right = [float(label == name) for label, name in zip(labels, taken_for, strict=True)]
    pairs = [(place[a], place[b]) for a, b in zip(labels, taken_for, strict=True)]
    wanted, taken = [a for a, _ in pairs], [b for _, b in pairs]
    report = classification_report(wanted, taken, len(names))
    macro = Figure("macro_f1", report.macro_f1)
    if len(names) <= MOST_NAMED:  # the square of it for every example, else
        table = np.zeros((len(pairs), len(names) ** 2))
        table[np.arange(len(pairs)), [a * len(names) + b for a, b in pairs]] = 1
        macro = of_sums_of("macro_f1", table, _macro_f1(len(names)))
    confidences = [each[name] for each, name in zip(probabilities, taken_for, strict=True)]
    lost = [
        -math.log(max(each.get(label, 0.0), 1e-12))
        for each, label in zip(probabilities, labels, strict=True)
    ]
    found = [
        mean_of("accuracy", right),
        macro,
        mean_of("log_loss", lost),
        of_sums_of(
            "calibration_error", calibration_statistics(confidences, right), calibration_of_sums
        ),
    ]
    if len(names) <= MOST_NAMED:
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


def chosen(material: Material) -> list[Figure]:
    """Of a model that finds one continuation likelier than others."""
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
            found.append(mean_of(name, best))
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
    if len(groups) <= MOST_NAMED:
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
