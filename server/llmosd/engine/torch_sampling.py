"""The arithmetic of llmos_kernels.sampling in batched torch, and its random numbers in NumPy."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

_WORD = 0xFFFFFFFF


class Numbers(NamedTuple):
    """Per row, (rows, 1) on the device; float64 but for what the kernels have as float32."""

    inverse: Tensor  # of the temperature
    top_p: Tensor
    min_p: Tensor
    top_k: Tensor  # the vocabulary's size where it is off
    uniform: Tensor


def uniform(seeds: list[int], choices: list[int], positions: list[int]) -> NDArray[np.float64]:
    """Philox4x32-10 (Salmon et al., 2011); see llmos_kernels.random.uniform.

    On the host: it knows all three beforehand, and a device would need a hundred launches.
    """
    word, shift = np.uint64(_WORD), np.uint64(32)
    key = np.array(seeds, np.uint64)
    k0, k1 = key & word, key >> shift
    c0, c1 = np.array(positions, np.uint64) & word, np.array(choices, np.uint64) & word
    c2 = c3 = np.zeros_like(key)
    high, low, _, _ = philox((c0, c1, c2, c3), (k0, k1))
    bits = (high >> np.uint64(5)) * np.uint64(67108864) + (low >> np.uint64(6))
    return bits.astype(np.float64) / 9007199254740992.0


def philox(
    counter: tuple[NDArray[np.uint64], ...], key: tuple[NDArray[np.uint64], ...]
) -> tuple[NDArray[np.uint64], ...]:
    """Ten rounds on arrays of counter and key words below 2**32."""
    word, shift = np.uint64(_WORD), np.uint64(32)
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        first, second = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1 = (second >> shift) ^ c1 ^ k0, second & word
        c2, c3 = (first >> shift) ^ c3 ^ k1, first & word
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & word, (k1 + np.uint64(0xBB67AE85)) & word
    return c0, c1, c2, c3


def draw_all(logits: Tensor, peak: Tensor, likeliest: Tensor, numbers: Numbers) -> Tensor:
    """Draw among all tokens at least min_p times as likely as the most likely one."""
    mass = ((logits - peak) * numbers.inverse).exp()
    mass = torch.where(mass >= numbers.min_p.float(), mass, 0.0)
    return _reach(mass.double(), numbers.uniform, likeliest)


def draw_ranked(
    logits: Tensor, peak: Tensor, numbers: Numbers, count: int
) -> tuple[Tensor, Tensor]:
    """Draw among the `count` most likely tokens after top-k, top-p and min-p.

    Returns:
        Tokens, and whether `count` was enough, both (rows, 1).
    """
    vocab = logits.shape[1]
    ids, values = most_likely(logits, count)
    within = torch.arange(count, device=logits.device) < numbers.top_k
    mass = torch.where(within, ((values - peak) * numbers.inverse).exp().double(), 0.0)
    unlimited = numbers.top_k == vocab
    everything = ((logits - peak) * numbers.inverse).exp().sum(1, keepdim=True, dtype=torch.float64)
    running = mass.cumsum(1)
    limit = numbers.top_p * torch.where(unlimited, everything, mass.sum(1, keepdim=True))
    before = functional.pad(running[:, :-1], (1, 0))
    within &= (before <= limit) | (numbers.top_p >= 1)
    within &= mass >= numbers.min_p * mass[:, :1]
    at = _reach(torch.where(within, mass, 0.0), numbers.uniform, torch.zeros_like(ids[:, :1]))
    enough = ~unlimited | (running[:, -1:] > limit) | (count == vocab)
    return ids.gather(1, at), enough


def _reach(mass: Tensor, share: Tensor, otherwise: Tensor) -> Tensor:
    """Where the running sum of `mass` (rows, n) first exceeds `share` of the whole, (rows, 1)."""
    running = mass.cumsum(1)
    # The device may add up in any order: a token without mass must not be hit by rounding.
    hit = (running > share * running[:, -1:]) & (mass > 0)
    found, at = hit.max(1, keepdim=True)
    return torch.where(found, at, otherwise)


def most_likely(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Indices and values of the largest, in order, the lower index first among equals.

    A number of 64 bits holds both: the value's bits, made to sort as integers, above the index.
    """
    count, vocab = min(count, logits.shape[1]), logits.shape[1]
    bits = (logits + 0.0).view(torch.int32)  # a negative zero is a zero
    order = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).long()
    index = torch.arange(vocab, device=logits.device)
    keys = (order << 32) | (vocab - 1 - index)
    ids = vocab - 1 - (keys.topk(count, sorted=True).values & _WORD)
    return ids, logits.gather(1, ids)


def log_sum_exp(logits: Tensor) -> Tensor:
    """log(sum(exp(row))), (rows, 1) float32, summed in float64."""
    peak = logits.amax(1, keepdim=True)
    return peak + (logits - peak).exp().sum(1, keepdim=True, dtype=torch.float64).log().float()
