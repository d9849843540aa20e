"""What a network in training is worth: means over held-out rows, each once, in order."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from llmosd.architectures.trainable.carried import Carried, Carrying
from llmosd.architectures.trainable.network import Network
from llmosd.jobs.specs import TrainSpec
from llmosd.jobs.training.batches import Examples, evaluation_batches
from llmosd.jobs.training.seeds import EVALUATION
from llmosd.jobs.training.tracks import Tracks
from llmosd.objectives.batch import Batch
from llmosd.objectives.objective import Objective, Summarizing

_TOKENS = 4096
"""Of a batch."""
_LONG = 32
"""Pieces of a track, at least."""


class Evaluator:
    """Asks a network about examples; nothing random changes from one time to the next.

    Attributes:
        judge: adds metrics of its own.
    """

    def __init__(
        self,
        network: Network,
        objective: Objective,
        spec: TrainSpec,
        prepare: Callable[[Batch, int, int, int], Batch],
        autocast: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """`prepare` makes a batch ready: its purpose, number and parts; `autocast` is precision."""
        self.judge: Callable[[Network], dict[str, float]] | None = None
        self._network = network
        self._objective = objective
        self._spec = spec
        self._prepare = prepare
        self._autocast = autocast

    def means(self, examples: Examples, rows: int) -> dict[str, float]:
        """Over the first `rows` of the examples; 0: all."""
        self._network.eval()
        sums: dict[str, float] = {}
        more: dict[str, Tensor] = {}
        count = 0
        with torch.no_grad(), self._autocast():
            for number, batch in enumerate(self.batches(examples, rows)):
                ready = self._prepare(batch, EVALUATION, number, 1)
                outcome = self._objective.loss(self._network, ready)
                count += outcome.count
                for name, value in outcome.metrics.items():
                    sums[name] = sums.get(name, 0.0) + value
                for name, tensor in outcome.sums.items():
                    more[name] = more.get(name, 0) + tensor
        means = {name: value / max(1, count) for name, value in sums.items()}
        if more and isinstance(self._objective, Summarizing):
            means |= self._objective.summarize(more)
        if self._objective.words:
            means["perplexity"] = math.exp(min(means["loss"], 700.0))
        if self.judge is not None:
            means |= self.judge(self._network)
        return means

    def batches(self, examples: Examples, rows: int) -> Iterator[Batch]:
        """Every example once, in order; `rows` of them at most, 0: all.

        Where the run reads tracks, so do these: as many as make a batch of the usual size, but long
        ones, as each begins with nothing.
        """
        size = max(1, _TOKENS // examples.rules.length)
        if self._spec.sampling != "tracks":
            yield from evaluation_batches(examples, rows, size)
            return
        long = len(examples.data.ids) // (_LONG * examples.rules.length)
        tracks = Tracks(examples, max(1, min(size, long)))
        carried = nothing_carried(self._network, tracks, self._spec.device)
        steps = -(-rows // tracks.count) if rows else tracks.steps_per_epoch
        for step in range(min(steps, tracks.steps_per_epoch)):
            yield tracks.at(step, carried)
            carried.advance()


def nothing_carried(network: Network, tracks: Tracks, device: str) -> Carried:
    """States of the tracks, of which nothing has been read."""
    assert isinstance(network, Carrying)
    return network.carried(tracks.count).to(torch.device(device))
