"""Objectives that ask an example for one thing: its class, or its grade."""

import math

import torch
from torch import Generator
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
        """Sum over the examples, with hits of the first guess as accuracy."""
        assert batch.labels is not None
        hidden = network(batch.ids, batch.lengths, batch.perturbation)
        scores = network.scores(hidden, batch.lengths)
        smoothing = self._settings.label_smoothing if network.training else 0.0
        loss = functional.cross_entropy(
            scores, batch.labels, reduction="sum", label_smoothing=smoothing
        )
        with torch.no_grad():
            plain = functional.cross_entropy(scores, batch.labels, reduction="sum")
            hits = (scores.argmax(1) == batch.labels).sum()
        metrics = {"loss": float(plain), "accuracy": float(hits)}
        return Outcome(loss, len(batch.lengths), metrics)

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
