"""Differentially private training: every example's gradient clipped, and noise on their sum.

DP-SGD (Abadi et al., 2016), with the accountant of Mironov, Talwar and Zhang (2019), "Rényi
Differential Privacy of the Sampled Gaussian Mechanism". The unit that is protected is an example of
the training, which is a row unless rows are longer than sequence_length and are cut.
"""

import math

import torch
from torch import Tensor

from llmosd.architectures.trainable.network import Network
from llmosd.jobs.specs import PrivacySpec, TrainSpec
from llmosd.jobs.training.gradients import Gradients
from llmosd.jobs.training.seeds import NOISE, seed_of
from llmosd.objectives.batch import Batch
from llmosd.objectives.objective import Objective

_ORDERS = (*range(2, 65), *range(68, 257, 4), 512)


class PrivateGradients(Gradients):
    """A step's gradient: the clipped gradients of its examples, noise, over the expected number.

    `secret` seeds the noise. Who knows it can take the noise away: it is drawn for the run, kept
    in its checkpoints, and goes with them.
    """

    def __init__(self, network: Network, spec: TrainSpec, privacy: PrivacySpec) -> None:
        super().__init__(network, spec)
        self._privacy = privacy
        self._parameters = [each for each in network.parameters() if each.requires_grad]
        self.secret = 0

    def accumulate(self, batch: Batch, objective: Objective, count: int) -> dict[str, float]:
        """Set every parameter's gradient; returns means of the metrics over the examples."""
        del count
        self._objective = objective
        totals = [torch.zeros_like(each) for each in self._parameters]
        sums: dict[str, float] = {}
        parts = batch.split(len(batch.lengths)) if batch.lengths else []
        for part in parts:
            own = max(1, objective.count(part))
            for name, value in self._learn(part, own).metrics.items():
                sums[name] = sums.get(name, 0.0) + value / own / len(parts)
            self._take(totals)
        self._disturb(totals, batch.step)
        return sums or {"loss": 0.0}

    def _take(self, totals: list[Tensor]) -> None:
        """Add an example's gradient, no longer than max_grad_norm, and forget it."""
        squares = sum(
            float(each.grad.square().sum()) for each in self._parameters if each.grad is not None
        )
        share = min(1.0, self._privacy.max_grad_norm / max(math.sqrt(squares), 1e-12))
        for total, parameter in zip(totals, self._parameters, strict=True):
            if parameter.grad is not None:
                total.add_(parameter.grad, alpha=share)
                parameter.grad = None

    def _disturb(self, totals: list[Tensor], step: int) -> None:
        generator = torch.Generator().manual_seed(seed_of(self.secret, NOISE, step))
        width = self._privacy.noise_multiplier * self._privacy.max_grad_norm
        for total, parameter in zip(totals, self._parameters, strict=True):
            noise = torch.randn(total.shape, generator=generator).to(total.device)
            parameter.grad = (total + width * noise) / self._spec.batch_size


def epsilon(noise_multiplier: float, rate: float, steps: int, delta: float) -> float:
    """The epsilon for which so many steps are (epsilon, delta)-differentially private.

    `rate` is the chance of each example to be in a step. From Rényi to (epsilon, delta) by
    Balle et al. (2020), theorem 21, at the best of many orders.
    """
    if not steps or not rate:
        return 0.0
    found = min(
        steps * _renyi(order, noise_multiplier, rate)
        + math.log1p(-1 / order)
        - (math.log(delta) + math.log(order)) / (order - 1)
        for order in _ORDERS
    )
    return max(0.0, found)


def _renyi(order: int, noise_multiplier: float, rate: float) -> float:
    """Rényi divergence of one step at an integer order; equation 3 of section 3.3 there."""
    if rate == 1.0:
        return order / (2 * noise_multiplier**2)
    terms = [
        math.lgamma(order + 1)
        - math.lgamma(k + 1)
        - math.lgamma(order - k + 1)
        + k * math.log(rate)
        + (order - k) * math.log1p(-rate)
        + (k * k - k) / (2 * noise_multiplier**2)
        for k in range(order + 1)
    ]
    most = max(terms)
    return (most + math.log(math.fsum(math.exp(each - most) for each in terms))) / (order - 1)
