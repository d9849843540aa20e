"""How often classes are right, by class and in all, and whether confidence is earned."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClassificationReport:
    """Figures from 0 to 1; arrays are (classes,).

    Attributes:
        accuracy: share of examples whose class is right.
        precision: of what was taken for a class, the share that is; 0 where nothing was.
        recall: of what is of a class, the share that was found; 0 where nothing is.
        f1: their harmonic mean; 0 where both are.
        support: examples of each class.
        macro_f1: mean of f1 over the classes that occur, in labels or in predictions.
        micro_f1: F1 of the hits and misses of all classes together. With one class per example it
            equals the accuracy.
        confusion: (classes, classes) examples by label (row) and prediction (column).
    """

    accuracy: float
    precision: Floats
    recall: Floats
    f1: Floats
    support: Integers
    macro_f1: float
    micro_f1: float
    confusion: Integers


def confusion_matrix(labels: Sequence[int], predictions: Sequence[int], classes: int) -> Integers:
    """(classes, classes) examples of each label (row) that were taken for each class (column).

    Raises:
        ValueError: there are more of one than of the other, or a class is not in [0, classes).
    """
    rows, columns = np.asarray(labels, np.int64), np.asarray(predictions, np.int64)
    if rows.shape != columns.shape or rows.ndim != 1:
        raise ValueError(f"labels {rows.shape} and predictions {columns.shape} do not fit together")
    both = np.concatenate([rows, columns])
    if both.size and not (both.min() >= 0 and both.max() < classes):
        raise ValueError(f"a class is not in [0, {classes})")
    return np.bincount(rows * classes + columns, minlength=classes**2).reshape(classes, classes)


def classification_report(
    labels: Sequence[int], predictions: Sequence[int], classes: int
) -> ClassificationReport:
    """Everything that follows from which class was taken for which; (examples,) classes from 0.

    Raises:
        ValueError: as `confusion_matrix`; or there is no example.
    """
    confusion = confusion_matrix(labels, predictions, classes)
    total = int(confusion.sum())
    if not total:
        raise ValueError("there is no example")
    hits = confusion.diagonal()
    support, taken = confusion.sum(1), confusion.sum(0)
    f1 = _ratio(2 * hits, support + taken)
    misses = int((support - hits).sum() + (taken - hits).sum())
    return ClassificationReport(
        accuracy=float(hits.sum() / total),
        precision=_ratio(hits, taken),
        recall=_ratio(hits, support),
        f1=f1,
        support=support,
        macro_f1=float(f1[support + taken > 0].mean()),
        micro_f1=float(2 * hits.sum() / (2 * hits.sum() + misses)),
        confusion=confusion,
    )


def expected_calibration_error(confidences: ArrayLike, correct: ArrayLike, bins: int = 15) -> float:
    """How far confidence is from accuracy, 0 to 1 (Guo et al., 2017, equation 3).

    Args:
        confidences: (examples,) probabilities of the class that was taken.
        correct: (examples,) whether it was right.
        bins: of equal width; a bin holds its upper bound, the first one 0 too.

    Returns:
        The mean over examples of |accuracy - mean confidence| of the example's bin.

    Raises:
        ValueError: there is no example, the arrays do not fit, or a confidence is not in [0, 1].
    """
    table = calibration_statistics(confidences, correct, bins)
    return float(calibration_of_sums(table.sum(0, keepdims=True))[0])


def calibration_statistics(confidences: ArrayLike, correct: ArrayLike, bins: int = 15) -> Floats:
    """(examples, 1 + bins): 1, and in the column of the example's bin how far off it is.

    Of their sums over examples `calibration_of_sums` makes the error. Arguments and errors as of
    `expected_calibration_error`.
    """
    sure, right = np.asarray(confidences, np.float64), np.asarray(correct, np.float64)
    if sure.shape != right.shape or sure.ndim != 1 or not sure.size:
        raise ValueError(f"confidences {sure.shape} and correct {right.shape} do not fit together")
    if not ((sure >= 0) & (sure <= 1)).all():
        raise ValueError("a confidence is not in [0, 1]")
    places = np.searchsorted(np.linspace(0, 1, bins + 1)[1:], sure)
    table = np.zeros((sure.size, 1 + bins))
    table[:, 0] = 1
    table[np.arange(sure.size), 1 + places] = right - sure
    return table


def calibration_of_sums(sums: Floats) -> Floats:
    """(sets,) errors of (sets, 1 + bins) sums: a bin's size times its means' distance is theirs."""
    shown: Floats = np.abs(sums[:, 1:]).sum(1) / sums[:, 0]
    return shown


def _ratio(above: Integers, below: Integers) -> Floats:
    return np.where(below > 0, above / np.maximum(below, 1), 0.0)
