"""Figures of classes against scikit-learn's, and calibration against its definition."""

import numpy as np
import pytest

from llmosd.metrics.classification import (
    classification_report,
    confusion_matrix,
    expected_calibration_error,
)

# Recorded from scikit-learn 1.9.1 (confusion_matrix, precision_recall_fscore_support, f1_score).
LABELS = [0, 1, 2, 2, 1, 0, 3, 3, 1, 2, 0, 1, 2, 2, 4, 1, 0, 0, 3, 1]
TAKEN = [0, 1, 2, 1, 1, 0, 2, 3, 0, 2, 0, 1, 2, 4, 4, 1, 2, 0, 3, 3]
CONFUSION = [[4, 0, 1, 0, 0], [1, 4, 0, 1, 0], [0, 1, 3, 0, 1], [0, 0, 1, 2, 0], [0, 0, 0, 0, 1]]
PRECISION = [0.8, 0.8, 0.6, 0.66666667, 0.5]
RECALL = [0.8, 0.66666667, 0.6, 0.66666667, 1.0]
F1 = [0.8, 0.72727273, 0.6, 0.66666667, 0.66666667]
MACRO_F1 = 0.6921212121212121


def test_recorded():
    """Five classes of unequal size."""
    report = classification_report(LABELS, TAKEN, 5)
    assert report.confusion.tolist() == CONFUSION
    assert report.precision == pytest.approx(PRECISION, abs=1e-8)
    assert report.recall == pytest.approx(RECALL, abs=1e-8)
    assert report.f1 == pytest.approx(F1, abs=1e-8)
    assert report.support.tolist() == [5, 6, 5, 3, 1]
    assert report.macro_f1 == pytest.approx(MACRO_F1)
    assert report.accuracy == pytest.approx(0.7)
    assert report.micro_f1 == pytest.approx(0.7)
    # The control: labels and predictions are not the same thing.
    turned = classification_report(TAKEN, LABELS, 5)
    assert turned.precision == pytest.approx(report.recall)
    assert turned.precision != pytest.approx(PRECISION, abs=1e-8)


def test_classes_that_do_not_occur():
    """Nobody is of class 5, which was guessed once; 3 and 4 count for nothing. Recorded, too."""
    report = classification_report([0, 1, 2, 2, 1], [0, 1, 1, 2, 5], 6)
    assert report.precision == pytest.approx([1, 0.5, 1, 0, 0, 0])
    assert report.recall == pytest.approx([1, 0.5, 0.5, 0, 0, 0])
    assert report.macro_f1 == pytest.approx(0.5416666666666666)
    assert report.micro_f1 == pytest.approx(0.6)


@pytest.mark.parametrize("seed", range(3))
def test_counted_one_by_one(seed):
    """Each class against loops."""
    rng = np.random.default_rng(seed)
    labels, taken = rng.integers(7, size=(2, 60)).tolist()
    report = classification_report(labels, taken, 8)
    pairs = list(zip(labels, taken, strict=True))
    for each in range(8):
        hits = sum(one == two == each for one, two in pairs)
        precision = hits / max(1, taken.count(each))
        recall = hits / max(1, labels.count(each))
        assert report.precision[each] == pytest.approx(precision)
        assert report.recall[each] == pytest.approx(recall)
        both = precision + recall
        assert report.f1[each] == pytest.approx(2 * precision * recall / both if both else 0)
    assert report.accuracy == pytest.approx(sum(one == two for one, two in pairs) / 60)


def test_wrong_classes():
    """Outside the range, of other numbers, or none at all."""
    for labels, taken in (([0, 2], [0, 1]), ([0, 1], [0, -1])):
        with pytest.raises(ValueError, match="not in"):
            confusion_matrix(labels, taken, 2)
    with pytest.raises(ValueError, match="fit"):
        confusion_matrix([0], [0, 1], 2)
    with pytest.raises(ValueError, match="no example"):
        classification_report([], [], 2)


def ece_twin(confidences, correct, bins):
    """Guo et al., 2017, as written."""
    total = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = [
            at
            for at, sure in enumerate(confidences)
            if low < sure <= high or (number == 0 and sure == 0)
        ]
        if inside:
            accuracy = sum(correct[at] for at in inside) / len(inside)
            confidence = sum(confidences[at] for at in inside) / len(inside)
            total += len(inside) / len(confidences) * abs(accuracy - confidence)
    return total


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_calibration_error(bins):
    """Random, with confidences on the bounds of bins."""
    rng = np.random.default_rng(bins)
    sure = np.concatenate([rng.random(300), np.arange(bins + 1) / bins])
    # Too sure in some bins and not enough in others: else the bounds would make no difference.
    right = rng.random(len(sure)) < 0.5
    found = expected_calibration_error(sure, right, bins)
    assert found == pytest.approx(ece_twin(sure.tolist(), right.tolist(), bins), abs=1e-12)


def test_calibration_error_says_what_it_should():
    """Earned confidence is 0, too much of it is the excess."""
    assert expected_calibration_error([0.8] * 5, [1, 1, 1, 1, 0]) == pytest.approx(0)
    assert expected_calibration_error([1.0] * 4, [1, 0, 0, 0]) == pytest.approx(0.75)
    # In one bin, mistakes of both kinds would hide each other.
    assert expected_calibration_error([0.9, 0.1], [0, 1], bins=1) == pytest.approx(0)
    assert expected_calibration_error([0.9, 0.1], [0, 1], bins=2) == pytest.approx(0.9)


@pytest.mark.parametrize(("sure", "right"), [
    ([], []), ([0.5], [1, 0]), ([1.2], [1]), ([float("nan")], [1]),
])  # fmt: skip
def test_calibration_of_nonsense(sure, right):
    """Refused."""
    with pytest.raises(ValueError, match=r"fit|not in"):
        expected_calibration_error(sure, right)
