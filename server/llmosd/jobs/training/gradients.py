"""A step's gradients: its batch in parts, one after another."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from llmosd.architectures.trainable.network import Network
from llmosd.jobs.specs import TrainSpec
from llmosd.objectives.batch import Batch
from llmosd.objectives.objective import Objective, Outcome


class Gradients:
    """Adds up the gradients of a step's mean loss."""

    def __init__(self, network: Network, spec: TrainSpec) -> None:
        self._network = network
        self._objective: Objective
        self._spec = spec

    def accumulate(self, batch: Batch, objective: Objective, count: int) -> dict[str, float]:
        """Add to every parameter's gradient; returns means of the metrics over the batch."""
        self._objective = objective
        # Tracks that have come to the end of their documents have nothing to say.
        sums: dict[str, float] = {} if batch.lengths else {"loss": 0.0}
        for part in batch.split(self._spec.accumulation, objective.group) if batch.lengths else ():
            for name, value in self._learn(part, count).metrics.items():
                sums[name] = sums.get(name, 0.0) + value / count
        return sums

    def _learn(self, part: Batch, count: int) -> Outcome:
        """Add the part's gradients, and those of its worst neighbourhood where wanted.

        Adversarial training (Miyato et al., 2017): embeddings move by epsilon along the gradient,
        normalized per example, and the loss there is learned too.
        """
        epsilon = self._spec.adversarial_epsilon
        if not epsilon:
            with self.autocast():
                outcome = self._objective.loss(self._network, part)
            (outcome.loss / count).backward()
            return outcome
        shape = len(part.ids), self._network.config.hidden_size
        still = torch.zeros(shape, device=part.ids.device, requires_grad=True)
        with self.autocast():
            outcome = self._objective.loss(self._network, part.perturbed(still))
        (outcome.loss / count).backward()
        assert still.grad is not None
        with self.autocast():
            moved = part.perturbed(epsilon * part.normalized(still.grad))
            worse = self._objective.loss(self._network, moved)
        (worse.loss / count).backward()
        return outcome

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Mixed precision, where it is wanted."""
        enabled = self._spec.precision == "bfloat16"
        with torch.autocast(torch.device(self._spec.device).type, torch.bfloat16, enabled=enabled):
            yield
