"""Rotary embedding, the paged key-value cache, and attention over it.

The cache of a layer is two arrays of blocks of BLOCK positions: keys (num_blocks, kv_heads,
head_dim, BLOCK), so that the scores of a block's positions lie side by side, and values
(num_blocks, kv_heads, BLOCK, head_dim); float32, or uint16 holding bfloat16 bits. A query sees its
sequence's blocks in order of position, in prefill and in decoding alike, so its result does not
depend on how the prompt was cut or on the other rows.
Twins: reference.rotate, reference.attend.
"""

from typing import Any

import numpy as np
from numba import prange

from llmos_kernels._attention_amx import (
    attend_pairs,
    begin_pairs,
    end_pairs,
    in_pairs,
    room_of_pairs,
)
from llmos_kernels._attention_tiles import QUERIES, TILES
from llmos_kernels._chains import MAX_ROWS, add_products, add_products_1
from llmos_kernels._jit import (
    LANES,
    address,
    exp32,
    fma,
    inlined,
    kernel,
    parallel_kernel,
    widen,
)
from llmos_kernels._lanes import peak_of, sum_of
from llmos_kernels._placing import BLOCK, rotate_line, scatter_line, scatter_pairs

assert BLOCK == LANES
_TOGETHER = QUERIES if TILES else MAX_ROWS  # queries
_HIDDEN = np.float32(-np.inf)


@parallel_kernel
def rotate_and_store(
    qkv: Any, cosine: Any, sine: Any, positions: Any, slots: Any, keys: Any, values: Any
) -> None:
    """Rotate queries and keys in place (Su et al., 2021), and put keys and values into the cache.

    Args:
        qkv: (rows, heads + 2 * kv_heads, head_dim) float32, contiguous; queries stay in it.
        cosine, sine: (context, rotary // 2) float32 tables; without columns nothing is rotated.
        positions: (rows,) int32.
        slots: (rows,) int64, block * BLOCK + position within the block.
        keys, values: the layer's cache.
    """
    for row in prange(qkv.shape[0]):
        for source in range(keys.shape[1]):
            place_head(qkv, row, source, cosine, sine, positions[row], slots[row], keys, values)


@parallel_kernel
def attend(
    qkv: Any, keys: Any, values: Any, tables: Any, tiles: Any, positions: Any, window: Any, out: Any
) -> None:
    """Causal attention of each row over its sequence's blocks.

    Args:
        qkv: (rows, heads + 2 * kv_heads, head_dim) float32; only the queries are read.
        keys, values: the layer's cache.
        tables: (sequences, max_blocks) int32 block numbers.
        tiles: (tiles, 3) int32: first row, number of rows, sequence; rows of a tile are
            consecutive positions of one sequence, at most `rows_per_tile`.
        positions: (rows,) int32; a row sees positions 0 to its own.
        window: how many positions back a row sees, 0 for all.
        out: (rows, heads, head_dim) float32.
    """
    kv_heads = keys.shape[1]
    for task in prange(tiles.shape[0] * kv_heads):
        tile, source = tiles[task // kv_heads], task % kv_heads
        room = begin_attention(keys, tables, out.shape[1])
        attend_tile(qkv, keys, values, tables, tile, source, positions, window, room, out)
        end_attention(keys)


def rows_per_tile(heads: int, kv_heads: int) -> int:
    """Rows whose queries fill a block of rows, as those that share a key head go together."""
    return max(1, _TOGETHER * kv_heads // heads)


@inlined
def place_head(
    qkv: Any, row: Any, source: Any, cosine: Any, sine: Any, position: Any, slot: Any, keys: Any,
    values: Any,
) -> None:  # fmt: skip
    """Rotate key head `source` of a row and the queries that read it; store key and value."""
    kv_heads, head_dim, half = keys.shape[1], np.int64(keys.shape[2]), np.int64(cosine.shape[1])
    heads = qkv.shape[1] - 2 * kv_heads
    group = heads // kv_heads
    start = row * qkv.shape[1]
    for index in range(group + 1):
        head = heads + source if index == group else source * group + index
        line = address(qkv, (start + head) * head_dim)
        rotate_line(line, address(cosine, position * half), address(sine, position * half), half)
    block, offset = (slot // BLOCK * kv_heads + source) * head_dim * BLOCK, slot % BLOCK
    key = address(qkv, (start + heads + source) * head_dim)
    value = address(qkv, (start + heads + kv_heads + source) * head_dim)
    if in_pairs(keys):
        scatter_pairs(key, head_dim, address(keys, block + 2 * offset), np.int64(BLOCK))
        at = address(values, block + offset // 2 * 2 * head_dim + offset % 2)
        scatter_line(value, head_dim, at, np.int64(2), values)
    else:
        scatter_line(key, head_dim, address(keys, block + offset), np.int64(BLOCK), keys)
        at = address(values, block + offset * head_dim)
        scatter_line(value, head_dim, at, np.int64(1), values)


@inlined
def begin_attention(keys: Any, tables: Any, heads: Any) -> Any:
    """What `attend_tile` works in, for all tiles of a thread; `end_attention` must follow."""
    begin_pairs(keys)
    head_dim, blocks = np.int64(keys.shape[2]), np.int64(tables.shape[1])
    queries = np.int64(max(heads // keys.shape[1], _TOGETHER))
    pairs = in_pairs(keys)  # one of the two rooms stays empty
    own, paired = (np.int64(0), blocks) if pairs else (queries, np.int64(0))
    return room_of_pairs(head_dim, paired), (
        np.empty((own, head_dim), np.float32),
        np.empty(own * blocks * BLOCK, np.float32),
        np.empty(own, np.float32),
        np.empty((own, head_dim), np.float32),
    )


@inlined
def end_attention(keys: Any) -> None:
    """See `begin_attention`."""
    end_pairs(keys)


@inlined
def attend_tile(
    qkv: Any, keys: Any, values: Any, tables: Any, tile: Any, source: Any, positions: Any,
    window: Any, room: Any, out: Any,
) -> None:  # fmt: skip
    """Attention of a tile's queries that read key head `source`; `room`: see `begin_attention`."""
    if in_pairs(keys):
        attend_pairs(qkv, keys, values, tables, tile, source, positions, window, room[0], out)
    else:
        _attend_tile(qkv, keys, values, tables, tile, source, positions, window, room[1], out)


@kernel
def _attend_tile(
    qkv: Any, keys: Any, values: Any, tables: Any, tile: Any, source: Any, positions: Any,
    window: Any, room: Any, out: Any,
) -> None:  # fmt: skip
    """Attention of a tile's queries that read key head `source`, one by one."""
    row, count, head_dim = np.int64(tile[0]), np.int64(tile[1]), keys.shape[2]
    group = out.shape[1] // keys.shape[1]
    first = max(0, positions[row] - window + 1) if window > 0 else 0
    last = positions[row + count - 1]
    start = first // BLOCK
    table = tables[tile[2], start : last // BLOCK + 1]
    origin = start * BLOCK
    width, size = table.shape[0] * BLOCK, count * group
    queries, totals, mixed = room[0][:size], room[2][:size], room[3][:size]
    scores = room[1][: size * width].reshape((size, width))
    scale = np.float32(1.0) / np.sqrt(np.float32(head_dim))
    for index in range(count * group):
        at, head = row + index // group, source * group + index % group
        for feature in range(head_dim):
            queries[index, feature] = qkv[at, head, feature] * scale
    scores[:] = np.float32(0.0)
    _score(queries, keys, table, source, scores)
    for index in range(len(queries)):
        position = np.int64(positions[row + index // group])
        earliest = max(0, position - window + 1) if window > 0 else 0
        totals[index] = _soften(scores[index], earliest - origin, position - origin)
    mixed[:] = np.float32(0.0)
    _mix(scores, values, table, source, last - origin, mixed)
    for index in range(len(queries)):
        at, head = row + index // group, source * group + index % group
        inverse = np.float32(1.0) / totals[index]
        for feature in range(head_dim):
            out[at, head, feature] = mixed[index, feature] * inverse


@inlined
def _score(queries: Any, keys: Any, table: Any, source: Any, scores: Any) -> None:
    """Add the products of every query with every key of the table's blocks."""
    count, head_dim = queries.shape
    x, width = address(queries, 0), np.int64(scores.shape[1])
    size = keys.shape[1] * head_dim * BLOCK
    for index in range(0, table.shape[0] - 1, 2):
        lines = (
            address(keys, table[index] * size + source * head_dim * BLOCK),
            address(keys, table[index + 1] * size + source * head_dim * BLOCK),
        )
        tile = address(scores, index * BLOCK)
        add_products(x, head_dim, head_dim, lines, BLOCK, keys, tile, width, count)
    if table.shape[0] % 2 == 1:
        index = table.shape[0] - 1
        only = (address(keys, table[index] * size + source * head_dim * BLOCK),)
        tile = address(scores, index * BLOCK)
        add_products_1(x, head_dim, head_dim, only, BLOCK, keys, tile, width, count)


@inlined
def _soften(scores: Any, first: Any, last: Any) -> Any:
    """e**(score - peak) of the visible positions [first, last], 0 for others; returns the sum."""
    scores[:first] = _HIDDEN
    scores[last + 1 :] = _HIDDEN
    start, count = address(scores, 0), np.int64(scores.shape[0])
    peak = peak_of(start, count)
    for at in range(scores.shape[0]):
        scores[at] = exp32(scores[at] - peak)
    return sum_of(start, count)


@inlined
def _mix(scores: Any, values: Any, table: Any, source: Any, last: Any, mixed: Any) -> None:
    """Add the values of positions up to `last`, weighted by the scores, to (queries, head_dim)."""
    count, head_dim = mixed.shape
    width, size = np.int64(scores.shape[1]), values.itemsize
    for index in range(table.shape[0]):
        # What lies behind the last position is another sequence's, and 0 * inf is no 0.
        depth = min(BLOCK, last + 1 - index * BLOCK)
        x = address(scores, index * BLOCK)
        lines = address(values, (table[index] * values.shape[1] + source) * BLOCK * head_dim)
        column = 0
        while column + 2 * LANES <= head_dim:
            at = lines + column * size
            pair, tile = (at, at + LANES * size), address(mixed, column)
            add_products(x, width, depth, pair, head_dim, values, tile, head_dim, count)
            column += 2 * LANES
        while column + LANES <= head_dim:
            only, tile = (lines + column * size,), address(mixed, column)
            add_products_1(x, width, depth, only, head_dim, values, tile, head_dim, count)
            column += LANES
        for query in range(count):
            for line in range(depth):
                share = scores[query, index * BLOCK + line]
                for feature in range(column, head_dim):
                    value = widen(values[table[index], source, line, feature])
                    mixed[query, feature] = fma(share, value, mixed[query, feature])
