"""Attention within examples that are laid end to end."""

from contextlib import nullcontext

import torch
from torch import Tensor
from torch.nn import functional

from llmosd.architectures.trainable.layout import Group, Layout

# Up to this length the backward pass takes a CPU longer in bfloat16 than in float32: 9 heads of 64,
# 512 tokens, in ms, of 64: 4.0 and 0.7, of 128: 6.5 and 3.1, of 256: 4.7 and 4.7, of 512: 8 and 11.
_WIDE_LENGTH = 255


def attend(
    query: Tensor,  # (tokens, heads, head_dim)
    key: Tensor,  # (tokens, kv_heads, head_dim)
    value: Tensor,
    layout: Layout,
    *,
    causal: bool,
    window: int = 0,
    dropout: float = 0.0,
) -> Tensor:  # (tokens, heads * head_dim)
    """Every token over the tokens of its own example: all, or those up to itself.

    `window` is how many tokens back it sees, itself included; 0: all.
    """
    mixed = [
        _attend_group(query, key, value, group, causal=causal, window=window, dropout=dropout)
        for group in layout.groups
    ]
    if layout.order is None:
        return mixed[0]
    return torch.cat(mixed).index_select(0, layout.order)


def _attend_group(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    group: Group,
    *,
    causal: bool,
    window: int,
    dropout: float,
) -> Tensor:
    kind, device = query.dtype, query.device.type
    wide = kind == torch.bfloat16 and device == "cpu" and group.length <= _WIDE_LENGTH
    if wide:
        query, key, value = query.float(), key.float(), value.float()
    query, key, value = (_padded(part, group) for part in (query, key, value))
    banded = causal and 0 < window < group.length
    # Padding comes after an example's tokens: where they see only what is before, it is not seen.
    mask = None if causal else group.seen
    if banded:
        mask = _band(group.length, window, query.device)
    with torch.autocast(device, enabled=False) if wide else nullcontext():
        out = functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            dropout_p=dropout,
            is_causal=causal and not banded,
            enable_gqa=query.shape[1] != key.shape[1],
        )
    flat = out.transpose(1, 2).reshape(group.count * group.length, -1).to(kind)
    return flat if group.slots is None else flat.index_select(0, group.slots)


def _padded(x: Tensor, group: Group) -> Tensor:
    """(tokens, heads, head_dim) as (count, heads, length, head_dim) of the group."""
    heads, head_dim = x.shape[1:]
    if group.tokens is not None:
        x = x.index_select(0, group.tokens)
    if group.slots is not None:
        empty = x.new_zeros(group.count * group.length, heads, head_dim)
        x = empty.index_copy(0, group.slots, x)
    return x.view(group.count, group.length, heads, head_dim).transpose(1, 2)


def _band(length: int, window: int, device: torch.device) -> Tensor:
    at = torch.arange(length, device=device)
    distance = at.unsqueeze(1) - at
    return (distance >= 0) & (distance < window)
