"""A Llama-family model's weights as the fused decoder takes them: plain arrays by name.

The arrays are what a packed-weights cache keeps, so a second load neither reads nor quantizes the
model's own file.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llmos_kernels._jit import LANES
from llmos_kernels._products import PANEL
from llmos_kernels.panels import pack_int4, pack_int8
from llmosd.architectures.architecture import Weights
from llmosd.architectures.config import ModelConfig
from llmosd.quantizers.registry import QUANTIZERS

Arrays = dict[str, NDArray[Any]]

FORMAT = f"1-{PANEL}"
"""Of the arrays; changes whenever an array that was kept could be misread."""


def pack(config: ModelConfig, weights: Weights, dtype: str) -> Arrays:
    """Quantize and pack; `weights` is asked for each name once.

    Returns:
        "embedding" (vocab, hidden) uint16, bfloat16 bits; "norms", "head_norms" as
        decoder.Network says; "head.packed", "head.scales"; and "PROJECTION.packed", ".scales" and
        ".bias" with one entry per layer. The head is int8 even where the layers are int4: its
        errors go into the logits themselves, and formats in use keep it wider too.
    """
    embedding = weights("model.embed_tokens.weight")
    head = embedding if config.tie_embeddings else weights("lm_head.weight")
    packed, scales = _matrix(head, "int8")
    arrays: Arrays = {
        "embedding": embedding.bfloat16().contiguous().view(torch.uint16).numpy(),
        "head.packed": packed,
        "head.scales": scales,
    }
    norms: list[Tensor] = []
    head_norms: list[Tensor] = []
    stacks: dict[str, list[tuple[NDArray[Any], ...]]] = {}
    for layer in range(config.num_layers):
        prefix = f"model.layers.{layer}."
        norms += [
            weights(f"{prefix}{which}_layernorm.weight").float()
            for which in ("input", "post_attention")
        ]
        if config.qk_norm:
            pair = [weights(f"{prefix}self_attn.{each}_norm.weight") for each in "qk"]
            head_norms.append(torch.stack(pair).float())
        for name, build in _PROJECTIONS.items():
            weight, bias = build(config, weights, prefix)
            packed, scales = _matrix(weight, dtype)
            stacks.setdefault(name, []).append((packed, scales, _bias(bias)))
    norms.append(weights("model.norm.weight").float())
    arrays["norms"] = torch.stack(norms).numpy()
    arrays["head_norms"] = (
        torch.stack(head_norms).numpy()
        if head_norms
        else np.empty((config.num_layers, 0, 0), np.float32)
    )
    for name, layers in stacks.items():
        parts = zip(("packed", "scales", "bias"), zip(*layers, strict=True), strict=True)
        for part, arrays_of in parts:
            arrays[f"{name}.{part}"] = np.stack(arrays_of)
    return arrays


def _matrix(weight: Tensor, dtype: str) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Panels, and a scale for each of their columns."""
    numbers, scales, minimums, _ = QUANTIZERS[dtype].quantize(weight)
    columns = np.ones(-(-len(weight) // PANEL) * PANEL, np.float32)
    if minimums is not None:
        return pack_int4(numbers.numpy(), scales.numpy(), minimums.numpy()), columns
    columns[: len(weight)] = scales[:, 0].numpy()
    return pack_int8(numbers.numpy()), columns


def _bias(bias: Tensor | None) -> NDArray[np.float32]:
    """Padded to whole panels; empty where there is none."""
    if bias is None:
        return np.empty(0, np.float32)
    values: NDArray[np.float32] = bias.float().numpy()
    return np.pad(values, (0, -len(values) % PANEL))


Projection = tuple[Tensor, Tensor | None]


def _qkv(config: ModelConfig, weights: Weights, prefix: str) -> Projection:
    names = [f"{prefix}self_attn.{each}_proj" for each in "qkv"]
    return _joined(names, weights, bias=config.qkv_bias)


def _output(config: ModelConfig, weights: Weights, prefix: str) -> Projection:
    return _joined([f"{prefix}self_attn.o_proj"], weights, bias=config.output_bias)


def _down(config: ModelConfig, weights: Weights, prefix: str) -> Projection:
    return _joined([f"{prefix}mlp.down_proj"], weights, bias=config.mlp_bias)


def _gate_up(config: ModelConfig, weights: Weights, prefix: str) -> Projection:
    """LANES rows of gate, the same of up, and so on: a panel holds what silu(gate) * up needs."""
    names = [f"{prefix}mlp.{each}_proj" for each in ("gate", "up")]
    (gate, gate_bias), (up, up_bias) = (
        _joined([name], weights, bias=config.mlp_bias) for name in names
    )
    bias = None
    if gate_bias is not None and up_bias is not None:
        bias = _interleave(gate_bias, up_bias)
    return _interleave(gate, up), bias


def columns_of(product: str, rows: Tensor) -> Tensor:
    """Rows (out_features, ...) of a product that Place names, in the order of the columns here."""
    return _interleave(*rows.chunk(2)) if product == "gate_up" else rows


def _interleave(first: Tensor, second: Tensor) -> Tensor:
    short = -len(first) % LANES
    pair = [
        torch.cat([part, part.new_zeros(short, *part.shape[1:])]).view(-1, LANES, *part.shape[1:])
        for part in (first, second)
    ]
    return torch.stack(pair, dim=1).flatten(0, 2)


def _joined(names: list[str], weights: Weights, *, bias: bool) -> Projection:
    """Projections of the same input as one."""
    weight = torch.cat([weights(f"{name}.weight") for name in names])
    return weight, torch.cat([weights(f"{name}.bias") for name in names]) if bias else None


_PROJECTIONS: dict[str, Callable[[ModelConfig, Weights, str], Projection]] = {
    "qkv": _qkv,
    "output": _output,
    "gate_up": _gate_up,
    "down": _down,
}
