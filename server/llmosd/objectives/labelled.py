"""Objectives that ask an example for one thing: its class, or its grade."""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from llmosd.objectives.batch import Batch
from llmosd.objectives.objective import Network, Outcome, Settings


class _Labelled:
    shifted = False
    group = 1
    words = False

    def __init__(self, settings: Settings, reference: Network | None = None) -> None:
        """`reference` is not used."""
        del reference
        self._settings = settings

    def prepare(self, network: Network, batch: Batch, generator: Generator, parts: int) -> Batch:
        """Nothing."""
        del network, generator, parts
        return batch

    def count(self, batch: Batch) -> int:
        """Examples."""
        return len(batch.lengths)


class Classify(_Labelled):
    """Cross-entropy of the class."""

    def loss(self, network: Network, batch: Batch) -> Outcome:
        """Sum over the examples, with hits of the first guess as accuracy; see `shares`."""
        assert batch.labels is not None
        hidden = network(batch.ids, batch.lengths, batch.perturbation)
        scores = network.scores(hidden, batch.lengths)
        smoothing = self._settings.label_smoothing if network.training else 0.0
        loss = functional.cross_entropy(
            scores, batch.labels, reduction="sum", label_smoothing=smoothing
        )
        with torch.no_grad():
            plain = functional.cross_entropy(scores, batch.labels, reduction="sum")
            guesses = scores.argmax(1)
            hits = (guesses == batch.labels).sum()
        metrics = {"loss": float(plain), "accuracy": float(hits)}
        sums = {}
        if not torch.is_grad_enabled():
            sums = {"confusion": confusion_of(batch.labels, guesses, scores.shape[1])}
        return Outcome(loss, len(batch.lengths), metrics, sums)

    def summarize(self, sums: dict[str, Tensor]) -> dict[str, float]:
        """See `shares`."""
        return shares(sums["confusion"])

    def guess(self) -> float | None:
        """Of all classes alike: ln of their number."""
        return math.log(self._settings.labels)


class Regress(_Labelled):
    """Mean squared error: the mean over the examples of (score - grade)^2, with no 1/2 before."""

    def loss(self, network: Network, batch: Batch) -> Outcome:
        """Sum over the examples, with the absolute error."""
        assert batch.labels is not None
        hidden = network(batch.ids, batch.lengths, batch.perturbation)
        error = network.scores(hidden, batch.lengths).squeeze(1) - batch.labels
        loss = error.square().sum()
        metrics = {
            "loss": float(loss.detach()),
            "absolute_error": float(error.detach().abs().sum()),
        }
        return Outcome(loss, len(batch.lengths), metrics)

    def guess(self) -> float | None:
        """None: it depends on how far the grades are spread."""
        return None


def confusion_of(labels: Tensor, guesses: Tensor, classes: int) -> Tensor:
    """(classes, classes) int64 on the CPU: how many examples of each label were guessed as each."""
    counts = torch.bincount(labels * classes + guesses, minlength=classes * classes)
    return counts.view(classes, classes).cpu()


def shares(confusion: Tensor) -> dict[str, float]:
    """What a matrix of `confusion_of` says, summed over all examples.

    "macro_f1" is the mean of the labels' F1, 2 TP / (2 TP + FP + FN), over labels that occur among
    the examples or the guesses (the mean of F1s of Opitz and Burst, 2019; scikit-learn's default).
    "majority_baseline" is the accuracy of always guessing the most frequent label.
    """
    hits, asked, guessed = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    occurs = asked + guessed > 0
    f1 = 2 * hits[occurs].double() / (asked + guessed)[occurs]
    return {
        "macro_f1": float(f1.mean()),
        "majority_baseline": int(asked.max()) / int(asked.sum()),
    }
