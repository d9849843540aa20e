"""Rotary positions (Su et al., 2021), with the scalings that published models use."""

import math

import numpy as np
import torch
from torch import Tensor

from llmosd.architectures.config import ModelConfig, RopeConfig
from llmosd.errors import FeatureUnavailable


def rope_tables(config: ModelConfig) -> tuple[Tensor, Tensor]:
    """Cosine and sine for every position.

    Returns:
        Two (context_length, head_dim // 2) float32 tensors, attention scaling included.

    Raises:
        FeatureUnavailable: for a scaling this daemon does not know.
    """
    rope = config.rope
    scaling = _SCALINGS.get(rope.kind)
    if scaling is None:
        known = ", ".join(sorted(_SCALINGS))
        raise FeatureUnavailable(f"rope scaling {rope.kind!r} is not known; known are {known}")
    exponents = torch.arange(0, config.head_dim, 2, dtype=torch.int64).float() / config.head_dim
    inverse, factor = scaling(1.0 / (rope.theta**exponents), rope, config.head_dim)
    angles = torch.outer(torch.arange(config.context_length, dtype=torch.float32), inverse)
    return _rounded(np.cos, angles) * factor, _rounded(np.sin, angles) * factor


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotate (rows, heads, head_dim), halves interleaved as in Hugging Face's weights.

    `cosine` and `sine` are each row's, (rows, 1, head_dim / 2) float32.
    """
    low, high = x.float().chunk(2, dim=-1)
    turned = [low * cosine - high * sine, high * cosine + low * sine]
    return torch.cat(turned, dim=-1).to(x.dtype)


def _rounded(function: np.ufunc, angles: Tensor) -> Tensor:
    """A trigonometric table, correctly rounded to float32.

    Not torch's cos and sin: where torch is built with oneMKL, the first such call of a process
    may run a low-accuracy kernel on some threads (pytorch/pytorch#188792), and these tables are
    the first call an engine makes. An error of 1e-4 here would be in every token it ever serves.
    """
    return torch.from_numpy(function(angles.double().numpy()).astype(np.float32))


def _default(inverse: Tensor, _rope: RopeConfig, _head_dim: int) -> tuple[Tensor, float]:
    return inverse, 1.0


def _linear(inverse: Tensor, rope: RopeConfig, _head_dim: int) -> tuple[Tensor, float]:
    """Position interpolation (Chen et al., 2023)."""
    return inverse / rope.factor, 1.0


def _llama3(inverse: Tensor, rope: RopeConfig, _head_dim: int) -> tuple[Tensor, float]:
    """Llama 3.1: long wavelengths are divided by factor, short ones kept, between interpolated."""
    wavelength = 2 * math.pi / inverse
    low = rope.original_context / rope.low_freq_factor
    high = rope.original_context / rope.high_freq_factor
    scaled = torch.where(wavelength > low, inverse / rope.factor, inverse)
    smooth = (rope.original_context / wavelength - rope.low_freq_factor) / (
        rope.high_freq_factor - rope.low_freq_factor
    )
    blended = (1 - smooth) * scaled / rope.factor + smooth * scaled
    between = ~(wavelength < high) & ~(wavelength > low)
    return torch.where(between, blended, scaled), 1.0


def _yarn(inverse: Tensor, rope: RopeConfig, head_dim: int) -> tuple[Tensor, float]:
    """YaRN (Peng et al., 2023): interpolate by parts, and scale attention."""
    low = math.floor(_correction(rope.beta_fast, rope, head_dim))
    high = math.ceil(_correction(rope.beta_slow, rope, head_dim))
    low, high = max(low, 0), min(high, head_dim - 1)
    span = high - low if high > low else 0.001
    ramp = ((torch.arange(head_dim // 2, dtype=torch.float32) - low) / span).clamp(0, 1)
    keep = 1 - ramp
    blended = inverse / rope.factor * (1 - keep) + inverse * keep
    attention = rope.attention_factor
    if attention is None:
        attention = 0.1 * math.log(rope.factor) + 1.0 if rope.factor > 1 else 1.0
    return blended, attention


def _correction(rotations: float, rope: RopeConfig, head_dim: int) -> float:
    """The dimension that turns `rotations` times over the original context."""
    turns = math.log(rope.original_context / (rotations * 2 * math.pi))
    return head_dim * turns / (2 * math.log(rope.theta))


_SCALINGS = {"default": _default, "linear": _linear, "llama3": _llama3, "yarn": _yarn}
