"""RMS norm and the gate of the feed-forward, for batches: one Triton program per row."""

import torch
import triton
import triton.language as tl
from torch import Tensor


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Root mean square normalization (Zhang and Sennrich, 2019) of (rows, features), in float32."""
    x = x.contiguous()
    rows, features = x.shape
    out = torch.empty_like(x)
    _rms_norm[(rows,)](x, weight, out, features, eps, WIDTH=triton.next_power_of_2(features))
    return out


def silu_multiply(gate_up: Tensor) -> Tensor:
    """silu(first half) * second half of (rows, 2 * features), in float32 (Shazeer, 2020)."""
    gate_up = gate_up.contiguous()
    rows, features = len(gate_up), gate_up.shape[1] // 2
    out = torch.empty((rows, features), dtype=gate_up.dtype, device=gate_up.device)
    width = min(1024, triton.next_power_of_2(features))
    _silu_multiply[rows, triton.cdiv(features, width)](gate_up, out, features, WIDTH=width)
    return out


@triton.jit
def _rms_norm(x, weight, out, features, eps, WIDTH: tl.constexpr) -> None:
    first = tl.program_id(0).to(tl.int64) * features
    at = tl.arange(0, WIDTH)
    inside = at < features
    row = tl.load(x + first + at, mask=inside, other=0.0).to(tl.float32)
    scaled = row * tl.rsqrt(tl.sum(row * row, 0) / features + eps)
    tl.store(out + first + at, scaled * tl.load(weight + at, mask=inside), mask=inside)


@triton.jit
def _silu_multiply(gate_up, out, features, WIDTH: tl.constexpr) -> None:
    row = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    inside = at < features
    gate = tl.load(gate_up + 2 * row * features + at, mask=inside).to(tl.float32)
    up = tl.load(gate_up + (2 * row + 1) * features + at, mask=inside).to(tl.float32)
    tl.store(out + row * features + at, gate * tl.sigmoid(gate) * up, mask=inside)
