"""Objectives over answers that people liked more or less: dpo and kto.

Both compare the network with the reference, which is what it was before: log-probabilities of an
answer are sums over its tokens, given the prompt.
"""

import math
from dataclasses import replace

import torch
from torch import Generator, Tensor
from torch.nn import functional

from llmosd.objectives.batch import IGNORED, Batch, wanted_rows
from llmosd.objectives.cross_entropy import log_probabilities
from llmosd.objectives.objective import Network, Outcome, Settings


def answer_log_probabilities(network: Network, batch: Batch) -> Tensor:
    """(examples,) log-probability of each example's answer given its prompt."""
    rows, targets = wanted_rows(batch)
    hidden = network(batch.ids, batch.lengths, batch.perturbation).index_select(0, rows)
    each = log_probabilities(hidden, network.head, targets)
    return each.new_zeros(len(batch.lengths)).index_add(0, batch.owners()[rows], each)


def dpo_losses(log_ratios: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Losses and margins, (pairs,) each, of (2 * pairs,) log-ratios: chosen, rejected, ...

    A log-ratio is what the network makes more likely than the reference. Rafailov et al., 2023,
    equation 7: -ln sigmoid(beta * (chosen - rejected)).
    """
    margins = beta * (log_ratios[0::2] - log_ratios[1::2])
    return -functional.logsigmoid(margins), margins


def kto_losses(log_ratios: Tensor, liked: Tensor, divergence: float, beta: float) -> Tensor:
    """(examples,) losses; Ethayarajh et al., 2024, equation 8, both weights one.

    1 - sigmoid(beta (r - z)) for what was liked, 1 - sigmoid(beta (z - r)) for the rest, z being
    the estimate of the divergence from the reference.
    """
    sign = torch.where(liked.bool(), 1.0, -1.0)
    return 1 - torch.sigmoid(beta * sign * (log_ratios - divergence))


class _Preference:
    shifted = True
    group = 1
    words = False

    def __init__(self, settings: Settings, reference: Network | None) -> None:
        """`reference` is the network as it was before."""
        if reference is None:
            raise ValueError("a reference is needed")
        self._beta = settings.beta
        self._reference = reference

    def prepare(self, network: Network, batch: Batch, generator: Generator, parts: int) -> Batch:
        """Nothing."""
        del network, generator, parts
        return batch

    def count(self, batch: Batch) -> int:
        """Examples, or pairs."""
        return len(batch.lengths) // self.group

    def _log_ratios(self, network: Network, batch: Batch) -> Tensor:
        with torch.no_grad():
            before = answer_log_probabilities(self._reference, replace(batch, perturbation=None))
        return answer_log_probabilities(network, batch) - before


class Dpo(_Preference):
    """Direct preference optimization (Rafailov et al., 2023)."""

    group = 2

    def loss(self, network: Network, batch: Batch) -> Outcome:
        """Sum over the pairs; "accuracy" is how often the chosen answer's margin is positive."""
        losses, margins = dpo_losses(self._log_ratios(network, batch), self._beta)
        loss = losses.sum()
        metrics = {
            "loss": float(loss.detach()),
            "margin": float(margins.detach().sum()),
            "accuracy": float((margins > 0).sum()),
        }
        return Outcome(loss, len(losses), metrics)

    def guess(self) -> float | None:
        """Of no preference: ln 2."""
        return math.log(2)


class Kto(_Preference):
    """Kahneman-Tversky optimization (Ethayarajh et al., 2024); labels are 1 liked, 0 not."""

    def prepare(self, network: Network, batch: Batch, generator: Generator, parts: int) -> Batch:
        """Estimate the divergence from the reference, over the whole step.

        As the paper and TRL do: the mean log-ratio of answers to the prompts of their neighbours,
        no less than zero, and no gradient goes through it. A batch of one has no neighbour: 0.
        """
        del generator
        if len(batch.lengths) < 2:
            return replace(batch, baseline=0.0)
        total = 0.0
        with torch.no_grad():
            for part in mismatched(batch).split(parts):
                total += float(self._log_ratios(network, part).sum())
        return replace(batch, baseline=max(0.0, total / len(batch.lengths)))

    def loss(self, network: Network, batch: Batch) -> Outcome:
        """Sum over the examples, with the log-ratios of both kinds."""
        assert batch.labels is not None
        ratios = self._log_ratios(network, batch)
        loss = kto_losses(ratios, batch.labels, batch.baseline, self._beta).sum()
        right = (ratios > batch.baseline) == batch.labels.bool()
        count = len(batch.lengths)
        metrics = {
            "loss": float(loss.detach()),
            "accuracy": float(right.sum()),
            "divergence": batch.baseline * count,
        }
        return Outcome(loss, count, metrics)

    def guess(self) -> float | None:
        """Of the reference itself: one half."""
        return 0.5


def mismatched(batch: Batch) -> Batch:
    """Every prompt with the answer of the example before it.

    A shifted example's prompt are its tokens up to the first that has a target, itself included
    (that one is the prompt's last); its answer are the targets.
    """
    ids, targets = batch.ids.split(batch.lengths), batch.targets.split(batch.lengths)
    new_ids, new_targets = [], []
    for at in range(len(ids)):
        start = int((targets[at] != IGNORED).nonzero()[0])
        other = targets[at - 1]
        answer = other[int((other != IGNORED).nonzero()[0]) :]
        # A token between answers, as of a tool's reply, is read and not asked for.
        read = ids[at - 1][len(other) - len(answer) + 1 :]
        new_ids.append(torch.cat([ids[at][: start + 1], read]))
        new_targets.append(torch.cat([targets[at][:start], answer]))
    return replace(
        batch,
        ids=torch.cat(new_ids),
        targets=torch.cat(new_targets),
        lengths=tuple(len(piece) for piece in new_ids),
        perturbation=None,
    )
