"""One step's examples, end to end."""

from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from llmosd.architectures.trainable.carried import Carry

IGNORED = -100
"""The target of a token that none is asked of."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples end to end.

    Attributes:
        ids: (tokens,) int64.
        targets: (tokens,) int64: what each token is asked for, or IGNORED.
        lengths: tokens of each example.
        labels: (examples,) int64 classes or float32 grades.
        examples: their numbers in the dataset, for messages.
        perturbation: (tokens, hidden), added to the embeddings.
        baseline: the same for all parts of a step; what it means is the objective's.
        step, steps: the step that it is for, counted from 0, and how many the run has; of an
            evaluation, the batch's number.
        noise: (examples, draws, latent_size), standard normal.
        tokens_per_example: tokens that are asked for, of the whole step.
        carry: what examples begin with, and leave; None: they begin from nothing.
    """

    ids: Tensor
    targets: Tensor
    lengths: tuple[int, ...]
    labels: Tensor | None = None
    examples: tuple[int, ...] = ()
    perturbation: Tensor | None = None
    baseline: float = 0.0
    step: int = 0
    steps: int = 1
    noise: Tensor | None = None
    tokens_per_example: float = 1.0
    carry: Carry | None = None

    def split(self, parts: int, group: int = 1) -> list["Batch"]:
        """At most `parts` batches of about as many tokens, examples in order.

        `group` neighbours stay together.
        """
        units = [sum(self.lengths[at : at + group]) for at in range(0, len(self.lengths), group)]
        if parts <= 1 or len(units) <= 1:
            return [self]
        parts = min(parts, len(units))
        share = sum(units) / parts
        cuts = [0]
        for index, (size, end) in enumerate(zip(units, accumulate(units), strict=True)):
            wanted = len(cuts) * share <= end - size / 2 and index > cuts[-1]
            needed = len(units) - index == parts - len(cuts) and index > cuts[-1]
            if len(cuts) < parts and (wanted or needed):
                cuts.append(index)
        edges = [cut * group for cut in [*cuts, len(units)]]
        return [self._piece(first, last) for first, last in pairwise(edges)]

    def _piece(self, first: int, last: int) -> "Batch":
        start = sum(self.lengths[:first])
        rows = slice(start, start + sum(self.lengths[first:last]))
        return replace(
            self,
            ids=self.ids[rows],
            targets=self.targets[rows],
            lengths=self.lengths[first:last],
            labels=None if self.labels is None else self.labels[first:last],
            examples=self.examples[first:last],
            perturbation=None if self.perturbation is None else self.perturbation[rows],
            noise=None if self.noise is None else self.noise[first:last],
            carry=None if self.carry is None else self.carry.of(first, last),
        )

    def to(self, device: torch.device) -> "Batch":
        """The same on another device."""
        if self.ids.device == device:
            return self
        labels = None if self.labels is None else self.labels.to(device)
        return replace(
            self, ids=self.ids.to(device), targets=self.targets.to(device), labels=labels
        )

    def perturbed(self, perturbation: Tensor) -> "Batch":
        """The same, with embeddings moved."""
        return replace(self, perturbation=perturbation)

    def normalized(self, gradient: Tensor) -> Tensor:
        """(tokens, hidden) `gradient`, each example's of norm one; zero where it is zero."""
        squares = gradient.square().sum(1)
        sums = squares.new_zeros(len(self.lengths)).index_add(0, self.owners(), squares)
        norms = sums.sqrt().clamp_min(torch.finfo(squares.dtype).tiny)
        return gradient / norms[self.owners()].unsqueeze(1)

    def owners(self) -> Tensor:
        """(tokens,) int64: the number, in this batch, of each token's example."""
        numbers = torch.arange(len(self.lengths), device=self.ids.device)
        return numbers.repeat_interleave(torch.tensor(self.lengths, device=self.ids.device))


def wanted_rows(batch: Batch) -> tuple[Tensor, Tensor]:
    """Places of the tokens that something is asked of, and what: both (targets,) int64."""
    rows = (batch.targets != IGNORED).nonzero().squeeze(1)
    return rows, batch.targets[rows]
