"""Rotate queries and keys, and store keys and values in the cache: one Triton kernel."""

import triton
import triton.language as tl
from torch import Tensor

from llmosd.architectures.architecture import ForwardBatch, LayerCache

_HEADS_AT_ONCE = 8


def rotate_and_store(
    qkv: Tensor, rope: tuple[Tensor, Tensor] | None, cache: LayerCache, batch: ForwardBatch
) -> None:
    """Rotate (Su et al., 2021) in float32; queries where they are, keys on their way to the cache.

    Args:
        qkv: (rows, heads + 2 * kv_heads, head_dim), contiguous; its queries are overwritten.
        rope: cosine and sine, (positions, head_dim // 2) float32; None rotates nothing.
        cache: where keys and values go, of any strides with adjacent head_dim.
        batch: its positions and slots; a row whose slot is negative stores nothing.
    """
    rows, all_heads, head_dim = qkv.shape
    kv_heads, block = cache.keys.shape[1], cache.values.shape[2]
    cosine, sine = (qkv, qkv) if rope is None else rope
    _rotate_and_store[rows, triton.cdiv(all_heads, _HEADS_AT_ONCE)](
        qkv, cosine, sine, batch.positions, batch.slots, cache.keys, cache.values,
        cache.keys.stride(0), cache.keys.stride(1), cache.keys.stride(3),
        cache.values.stride(0), cache.values.stride(1), cache.values.stride(2),
        HEADS=all_heads - 2 * kv_heads, KV_HEADS=kv_heads, HEAD_DIM=head_dim, BLOCK=block,
        ROPE=rope is not None, AT_ONCE=_HEADS_AT_ONCE,
        WIDTH=triton.next_power_of_2(head_dim // 2), num_warps=4,
    )  # fmt: skip


@triton.jit
def _rotate_and_store(
    qkv, cosine, sine, positions, slots, keys, values, key_block, key_head, key_position,
    value_block, value_head, value_position, HEADS: tl.constexpr, KV_HEADS: tl.constexpr,
    HEAD_DIM: tl.constexpr, BLOCK: tl.constexpr, ROPE: tl.constexpr, AT_ONCE: tl.constexpr,
    WIDTH: tl.constexpr,
) -> None:  # fmt: skip
    """Some heads of one row: the low and the high half of each."""
    row = tl.program_id(0).to(tl.int64)
    head, dim = tl.program_id(1) * AT_ONCE + tl.arange(0, AT_ONCE), tl.arange(0, WIDTH)
    half: tl.constexpr = HEAD_DIM // 2
    there = (head < HEADS + 2 * KV_HEADS)[:, None] & (dim < half)[None, :]
    source = qkv + (row * (HEADS + 2 * KV_HEADS) + head)[:, None] * HEAD_DIM + dim[None, :]
    low = tl.load(source, mask=there, other=0.0)
    high = tl.load(source + half, mask=there, other=0.0)
    if ROPE:
        angle = tl.load(positions + row).to(tl.int64) * half + dim
        c = tl.load(cosine + angle, mask=dim < half, other=0.0)[None, :]
        s = tl.load(sine + angle, mask=dim < half, other=0.0)[None, :]
        turned = (head < HEADS + KV_HEADS)[:, None]
        wide_low, wide_high = low.to(tl.float32), high.to(tl.float32)
        low = tl.where(turned, (wide_low * c - wide_high * s).to(low.dtype), low)
        high = tl.where(turned, (wide_high * c + wide_low * s).to(high.dtype), high)
    is_query = there & (head < HEADS)[:, None]
    tl.store(source, low, mask=is_query)
    tl.store(source + half, high, mask=is_query)
    slot = tl.load(slots + row).to(tl.int64)
    block, offset = slot // BLOCK, slot % BLOCK
    stored = there & (head >= tl.where(slot >= 0, HEADS, HEADS + 2 * KV_HEADS))[:, None]
    is_key = (head < HEADS + KV_HEADS)[:, None]
    to_key = block * key_block + (head - HEADS) * key_head + offset * key_position
    key = keys + to_key[:, None] + dim[None, :]
    tl.store(key, low, mask=stored & is_key)
    tl.store(key + half, high, mask=stored & is_key)
    kv_head = head - HEADS - KV_HEADS
    to_value = block * value_block + kv_head * value_head + offset * value_position
    value = values + to_value[:, None] + dim[None, :]
    tl.store(value, low, mask=stored & ~is_key)
    tl.store(value + half, high, mask=stored & ~is_key)
