"""Rotate queries and keys, and store keys and values in the cache: one Triton kernel."""

import triton
import triton.language as tl
from torch import Tensor

from llmosd.architectures.architecture import ForwardBatch, LayerCache


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
    _rotate_and_store[rows, all_heads](
        qkv, cosine, sine, batch.positions, batch.slots, cache.keys, cache.values,
        cache.keys.stride(0), cache.keys.stride(1), cache.keys.stride(3),
        cache.values.stride(0), cache.values.stride(1), cache.values.stride(2),
        HEADS=all_heads - 2 * kv_heads, KV_HEADS=kv_heads, HEAD_DIM=head_dim, BLOCK=block,
        ROPE=rope is not None, WIDTH=triton.next_power_of_2(head_dim // 2), num_warps=1,
    )  # fmt: skip


@triton.jit
def _rotate_and_store(
    qkv, cosine, sine, positions, slots, keys, values,
    key_block, key_head, key_position, value_block, value_head,
    value_position, HEADS: tl.constexpr, KV_HEADS: tl.constexpr, HEAD_DIM: tl.constexpr,
    BLOCK: tl.constexpr, ROPE: tl.constexpr, WIDTH: tl.constexpr,
) -> None:  # fmt: skip
    """One head of one row: the low and the high half of it."""
    row, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    half: tl.constexpr = HEAD_DIM // 2
    dim = tl.arange(0, WIDTH)
    inside = dim < half
    source = qkv + (row * (HEADS + 2 * KV_HEADS) + head) * HEAD_DIM + dim
    low, high = tl.load(source, mask=inside), tl.load(source + half, mask=inside)
    if ROPE:  # noqa: SIM102 - the one is decided by the compiler, the other on the device
        if head < HEADS + KV_HEADS:
            angle = tl.load(positions + row).to(tl.int64) * half + dim
            c, s = tl.load(cosine + angle, mask=inside), tl.load(sine + angle, mask=inside)
            wide_low, wide_high = low.to(tl.float32), high.to(tl.float32)
            low = (wide_low * c - wide_high * s).to(low.dtype)
            high = (wide_high * c + wide_low * s).to(high.dtype)
    if head < HEADS:
        tl.store(source, low, mask=inside)
        tl.store(source + half, high, mask=inside)
    else:
        slot = tl.load(slots + row).to(tl.int64)
        stored = dim < tl.where(slot >= 0, half, 0)
        block, offset = slot // BLOCK, slot % BLOCK
        if head < HEADS + KV_HEADS:
            target = keys + block * key_block + (head - HEADS) * key_head + offset * key_position
        else:
            kv_head = head - HEADS - KV_HEADS
            target = values + block * value_block + kv_head * value_head + offset * value_position
        tl.store(target + dim, low, mask=stored)
        tl.store(target + half + dim, high, mask=stored)
