"""Attention over the paged cache in Triton: one kernel for prompts, for decoding, and for both.

A program takes a tile of one sequence's rows, with all query heads that share a key head
(Ainslie et al., 2023), and walks a part of the sequence's blocks with a running softmax (Dao et
al., 2022). Where there are fewer tiles than the device has processors, each tile's context is
split among several programs, whose parts are put together afterwards (flash-decoding, Dao et al.,
2023).
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from llmosd.architectures.architecture import ForwardBatch, LayerCache

WIDE_TILE = 64
"""Query vectors (rows times query heads per key head) of a prompt's tile."""
_NARROW_TILE = 16  # the least that a matrix unit multiplies
_MOST_STRIDE = 64  # positions per turn of the loop
_TURN_BYTES = 16384  # of keys per turn; as many values, and both twice, are in shared memory
_MOST_SPLITS = 64
_LOG2_E = 1.4426950408889634


def rows_per_tile(heads: int, kv_heads: int) -> int:
    """Rows of one sequence that a tile takes at most."""
    return max(1, WIDE_TILE * kv_heads // heads)


def num_splits(tiles: int, kv_heads: int, longest: int, processors: int) -> int:
    """Among how many programs each tile's context is split: a power of two.

    Two programs for each of the device's `processors`, unless they would get fewer than two turns
    of the longest context each.
    """
    wanted = min(
        -(-2 * processors // (tiles * kv_heads)), longest // (2 * _MOST_STRIDE), _MOST_SPLITS
    )
    return 1 << max(wanted, 1).bit_length() - 1


def attend(
    qkv: Tensor, cache: LayerCache, batch: ForwardBatch, window: int, processors: int
) -> Tensor:
    """Causal attention of every row over its sequence's cached positions, its own included.

    Args:
        qkv: (rows, heads + 2 * kv_heads, head_dim), contiguous; the queries are read.
        cache: keys and values, of any strides with adjacent head_dim.
        batch: its positions, tables and tiles; a tile of no rows is padding, and its first
            row becomes zeros.
        window: how many positions back a row sees, 0 for all.
        processors: of the device, to be kept busy.

    Returns:
        (rows, heads, head_dim).
    """
    rows, all_heads, head_dim = qkv.shape
    kv_heads = cache.keys.shape[1]
    heads = all_heads - 2 * kv_heads
    group, tiles = heads // kv_heads, len(batch.tiles)
    single = tiles == rows  # every tile is one row
    vectors = max(_NARROW_TILE if single else WIDE_TILE, triton.next_power_of_2(group))
    block = cache.values.shape[2]
    splits = num_splits(tiles, kv_heads, batch.tables.shape[1] * block, processors)
    out = torch.empty((rows, heads, head_dim), dtype=qkv.dtype, device=qkv.device)
    shape = (rows, heads, splits) if splits > 1 else (0, 0, 0)
    parts = torch.empty((*shape, head_dim), dtype=torch.float32, device=qkv.device)
    weights = torch.empty((*shape, 2), dtype=torch.float32, device=qkv.device)
    width = max(16, triton.next_power_of_2(head_dim))
    stride = min(max(16, _TURN_BYTES // (width * qkv.itemsize)), _MOST_STRIDE)
    _attend[tiles, kv_heads, splits](
        qkv, cache.keys, cache.values, batch.tables, batch.tiles, batch.positions, out, parts,
        weights, head_dim**-0.5 * _LOG2_E, qkv.stride(0), batch.tables.stride(0),
        cache.keys.stride(0), cache.keys.stride(1), cache.keys.stride(3),
        cache.values.stride(0), cache.values.stride(1), cache.values.stride(2),
        splits, HEADS=heads, GROUP=group, HEAD_DIM=head_dim, BLOCK=block,
        WINDOW=window, SPLIT=splits > 1, VECTORS=vectors, STRIDE=stride, WIDTH=width,
        num_warps=2 * qkv.itemsize, num_stages=2,
    )  # fmt: skip
    if splits > 1:
        _combine[rows, heads](
            parts, weights, out, splits, SPLITS=_MOST_SPLITS, HEAD_DIM=head_dim, WIDTH=width
        )
    return out


@triton.jit(do_not_specialize=["table_row", "splits"])
def _attend(
    qkv, keys, values, tables, tiles, positions, out,
    parts, weights, scale, qkv_row, table_row,
    key_block, key_head, key_position, value_block, value_head,
    value_position, splits, HEADS: tl.constexpr, GROUP: tl.constexpr,
    HEAD_DIM: tl.constexpr, BLOCK: tl.constexpr, WINDOW: tl.constexpr, SPLIT: tl.constexpr,
    VECTORS: tl.constexpr, STRIDE: tl.constexpr, WIDTH: tl.constexpr,
) -> None:  # fmt: skip
    """One split of one tile and key head. Scores are in units of log 2."""
    tile, kv_head, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    first = tl.load(tiles + 3 * tile).to(tl.int32)
    count = tl.load(tiles + 3 * tile + 1).to(tl.int32)
    table = tables + tl.load(tiles + 3 * tile + 2).to(tl.int64) * table_row
    vector, dim = tl.arange(0, VECTORS), tl.arange(0, WIDTH)
    row, head = (first + vector // GROUP).to(tl.int64), kv_head * GROUP + vector % GROUP
    live, inside = vector < count * GROUP, dim < HEAD_DIM
    start = tl.load(positions + first).to(tl.int32)
    at = start + vector // GROUP
    # Positions [begin, end) are this split's; none where the tile is empty or the context short.
    stop = tl.where(count > 0, start + count, 0)
    low = 0
    if WINDOW:
        low = tl.maximum(start - WINDOW + 1, 0) // STRIDE * STRIDE
    span = tl.cdiv(tl.maximum(stop - low, 0), splits * STRIDE) * STRIDE
    begin = low + split * span
    end = tl.minimum(stop, begin + span)
    place = row[:, None] * qkv_row + head[:, None] * HEAD_DIM + dim[None, :]
    query = tl.load(qkv + place, mask=live[:, None] & inside[None, :], other=0.0)
    peak = tl.full((VECTORS,), float("-inf"), tl.float32)
    total = tl.zeros((VECTORS,), tl.float32)
    mixed = tl.zeros((VECTORS, WIDTH), tl.float32)
    for turn in range(begin, end, STRIDE):
        seen = turn + tl.arange(0, STRIDE)
        there = seen < end
        block = tl.load(table + seen // BLOCK, mask=there, other=0).to(tl.int64)
        full = there[:, None] & inside[None, :]
        from_key = block * key_block + kv_head * key_head + seen % BLOCK * key_position
        key = tl.load(keys + from_key[:, None] + dim[None, :], mask=full, other=0.0)
        scores = tl.dot(query, tl.trans(key), input_precision="ieee") * scale
        distance = at[:, None] - seen[None, :]
        visible = there[None, :] & (distance >= 0)
        if WINDOW:
            visible = visible & (distance < WINDOW)
        scores = tl.where(visible, scores, float("-inf"))
        new_peak = tl.maximum(peak, tl.max(scores, 1))
        # A row that has seen nothing yet has no peak; any finite number gives it zeros.
        base = tl.where(new_peak == float("-inf"), 0.0, new_peak)
        share = tl.exp2(scores - base[:, None])
        fading = tl.exp2(peak - base)
        total = total * fading + tl.sum(share, 1)
        from_value = block * value_block + kv_head * value_head + seen % BLOCK * value_position
        value = tl.load(values + from_value[:, None] + dim[None, :], mask=full, other=0.0)
        share = share.to(value.dtype)
        mixed = mixed * fading[:, None] + tl.dot(share, value, input_precision="ieee")
        peak = new_peak
    target = row * HEADS + head
    # A tile of no rows leaves zeros in its first one.
    live = vector < tl.maximum(count, 1) * GROUP
    full = live[:, None] & inside[None, :]
    if SPLIT:
        target = target * splits + split
        tl.store(weights + 2 * target, peak, mask=live)
        tl.store(weights + 2 * target + 1, total, mask=live)
        tl.store(parts + target[:, None] * HEAD_DIM + dim[None, :], mixed, mask=full)
    else:
        mixed = mixed / tl.where(total > 0, total, 1.0)[:, None]
        tl.store(out + target[:, None] * HEAD_DIM + dim[None, :], mixed, mask=full)


@triton.jit(do_not_specialize=["splits"])
def _combine(
    parts, weights, out, splits, SPLITS: tl.constexpr, HEAD_DIM: tl.constexpr,
    WIDTH: tl.constexpr,
) -> None:  # fmt: skip
    """Put the splits of one row and head together."""
    target = tl.program_id(0).to(tl.int64) * tl.num_programs(1) + tl.program_id(1)
    split, dim = tl.arange(0, SPLITS), tl.arange(0, WIDTH)
    there, inside = split < splits, dim < HEAD_DIM
    place = target * splits + split
    peak = tl.load(weights + 2 * place, mask=there, other=float("-inf"))
    total = tl.load(weights + 2 * place + 1, mask=there, other=0.0)
    highest = tl.max(peak, 0)
    share = tl.exp2(peak - tl.where(highest == float("-inf"), 0.0, highest))
    source = parts + place[:, None] * HEAD_DIM + dim[None, :]
    mixed = tl.load(source, mask=there[:, None] & inside[None, :], other=0.0)
    whole = tl.sum(total * share, 0)
    mean = tl.sum(mixed * share[:, None], 0) / tl.where(whole > 0, whole, 1.0)
    tl.store(out + target * HEAD_DIM + dim, mean, mask=inside)
