"""A matrix times one vector, with what comes before and after it: decoding one stream.

It takes as long as reading the matrix does, so whatever can be done meanwhile is free: the norm
before it, the gate or the residual after it. Arithmetic is float32.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

_OUTPUTS = 8
_INPUTS = 1024


def matvec(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    norm: tuple[Tensor, float] | None = None,
    residual: Tensor | None = None,
    gated: bool = False,
) -> Tensor:
    """Give x @ weight.T + bias for one row.

    Args:
        x: (1, inputs).
        weight: (outputs, inputs), contiguous.
        bias: (outputs,) or None.
        norm: weight (inputs,) and epsilon of an RMS norm (Zhang and Sennrich, 2019) of x.
        residual: (1, outputs), added to the result.
        gated: the result is silu(first half) * second half (Shazeer, 2020).

    Returns:
        (1, outputs), or (1, outputs // 2) where gated, of x's type.
    """
    outputs, inputs = weight.shape
    if gated:
        outputs //= 2
    out = torch.empty((1, outputs), dtype=x.dtype, device=x.device)
    norm_weight, eps = (x, 0.0) if norm is None else norm
    per_program = _OUTPUTS // 2 if gated else _OUTPUTS
    _matvec[(triton.cdiv(outputs, per_program),)](
        x, norm_weight, weight, x if bias is None else bias, x if residual is None else residual,
        out, outputs, inputs, eps, NORM=norm is not None, BIAS=bias is not None,
        RESIDUAL=residual is not None, GATED=gated, OUTPUTS=per_program,
        INPUTS=min(_INPUTS, triton.next_power_of_2(inputs)), num_warps=4,
    )  # fmt: skip
    return out


@triton.jit
def _matvec(
    x, norm, weight, bias, residual, out, outputs, inputs,
    eps, NORM: tl.constexpr, BIAS: tl.constexpr, RESIDUAL: tl.constexpr, GATED: tl.constexpr,
    OUTPUTS: tl.constexpr, INPUTS: tl.constexpr,
) -> None:  # fmt: skip
    """OUTPUTS rows of the matrix. The norm's factor is the same for all inputs: it comes last."""
    output = tl.program_id(0) * OUTPUTS + tl.arange(0, OUTPUTS)
    written = output < outputs
    line = weight + output.to(tl.int64)[:, None] * inputs
    other_line = line + outputs.to(tl.int64) * inputs
    sums = tl.zeros((OUTPUTS, INPUTS), tl.float32)
    other_sums = tl.zeros((OUTPUTS, INPUTS), tl.float32)
    squares = tl.zeros((INPUTS,), tl.float32)
    for start in range(0, inputs, INPUTS):
        at = start + tl.arange(0, INPUTS)
        inside = at < inputs
        part = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
        if NORM:
            squares += part * part
            part *= tl.load(norm + at, mask=inside, other=0.0).to(tl.float32)
        full = written[:, None] & inside[None, :]
        sums += tl.load(line + at[None, :], mask=full, other=0.0).to(tl.float32) * part[None, :]
        if GATED:
            other = tl.load(other_line + at[None, :], mask=full, other=0.0).to(tl.float32)
            other_sums += other * part[None, :]
    result, up = tl.sum(sums, 1), tl.sum(other_sums, 1)
    if NORM:
        factor = tl.rsqrt(tl.sum(squares, 0) / inputs + eps)
        result *= factor
        up *= factor
    if BIAS:
        result += tl.load(bias + output, mask=written, other=0.0)
    if GATED:
        if BIAS:
            up += tl.load(bias + outputs + output, mask=written, other=0.0)
        result = result * tl.sigmoid(result) * up
    if RESIDUAL:
        result += tl.load(residual + output, mask=written, other=0.0).to(tl.float32)
    tl.store(out + output, result, mask=written)
