"""Pieces that the networks share. Each backward pass is written out where torch's own is slow."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional


class Linear(nn.Linear):
    """A product whose weight may be kept narrower than what goes through it."""

    def forward(self, x: Tensor) -> Tensor:
        """X @ weight.T + bias."""
        if self.weight.dtype != x.dtype and not torch.is_autocast_enabled(x.device.type):
            bias = None if self.bias is None else self.bias.to(x.dtype)
            return functional.linear(x, self.weight.to(x.dtype), bias)
        return functional.linear(x, self.weight, self.bias)


def narrowed(x: Tensor) -> Tensor:
    """What autocast makes of it, once for all the products that read it."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


class RMSNorm(nn.Module):
    """Root mean square normalization (Zhang and Sennrich, 2019), in float32."""

    def __init__(self, size: int, eps: float) -> None:
        """The weight starts at one."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Over the last axis."""
        out: Tensor = _RMSNorm.apply(x.float(), self.weight.float(), self.eps)
        return out


class _RMSNorm(Function):
    """y = x r w with r = 1 / sqrt(mean(x^2) + eps); dx = r (g - x r^2 mean(g x)), g = dy w."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        inverse = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        inverse = inverse.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        return (x * inverse).mul_(weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        x, weight, inverse = ctx.saved_tensors
        flat = tuple(range(x.dim() - 1))
        grad_weight = (x * inverse).mul_(grad).sum(flat) if ctx.needs_input_grad[1] else None
        if not ctx.needs_input_grad[0]:
            return None, grad_weight, None
        scaled = grad * weight
        share = (scaled * x).mean(-1, keepdim=True).mul_(inverse.square())
        return scaled.addcmul_(x, share, value=-1).mul_(inverse), grad_weight, None


def silu_multiply(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up (Shazeer, 2020); keeps its two inputs only."""
    out: Tensor = _SiluMultiply.apply(gate, up)
    return out


class _SiluMultiply(Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return functional.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        (grad,) = grads
        gate, up = ctx.saved_tensors
        grad_up = functional.silu(gate).mul_(grad)
        grad_gate: Tensor = torch.ops.aten.silu_backward(grad * up, gate)
        return grad_gate, grad_up


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary positions (Su et al., 2021).

    Args:
        x: (tokens, heads, head_dim), halves apart as in Hugging Face's weights.
        cosine: (tokens, 1, head_dim / 2).
        sine: as `cosine`.
    """
    out: Tensor = _Rotate.apply(x, cosine, sine)
    return out


class _Rotate(Function):
    """Its gradient is the rotation back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        ctx.save_for_backward(cosine, sine)
        return _rotated(x, cosine, sine, 1.0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        cosine, sine = ctx.saved_tensors
        return _rotated(grads[0], cosine, sine, -1.0), None, None


def _rotated(x: Tensor, cosine: Tensor, sine: Tensor, sign: float) -> Tensor:
    out = torch.empty_like(x)
    half = x.shape[-1] // 2
    low, high = x[..., :half], x[..., half:]
    out[..., :half] = (low * cosine).addcmul_(high, sine, value=-sign)
    out[..., half:] = (high * cosine).addcmul_(low, sine, value=sign)
    return out
