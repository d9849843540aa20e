"""Diagonal Gaussians: of means and log-variances, both (examples, size)."""

import math

import torch
from torch import Tensor


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)) of each dimension (examples, size), in nats.

    (mean^2 + variance - 1 - log variance) / 2 (Kingma and Welling, 2014, appendix B).
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


def log_density(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Log of N(z; mean, variance), summed over the last axis; shapes are broadcast."""
    error = (z - mean).square() * torch.exp(-log_variance)
    return -0.5 * (math.log(2 * math.pi) + log_variance + error).sum(-1)
