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

from llmos_kernels._jit import LANES, address, exp32, inlined, kernel, narrow, parallel_kernel, widen
from llmos_kernels.linear import MAX_ROWS, PANEL, multiply_rows

BLOCK = 16
assert BLOCK == LANES
_CHUNK = 2 * BLOCK  # positions that are scored at once
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
        attend_tile(qkv, keys, values, tables, tile, source, positions, window, out)


def rows_per_tile(heads: int, kv_heads: int) -> int:
    """Rows whose queries fill a row block, as those that share a key head go together."""
    return max(1, MAX_ROWS * kv_heads // heads)


@inlined
def place_head(
    qkv: Any, row: Any, source: Any, cosine: Any, sine: Any, position: Any, slot: Any, keys: Any,
    values: Any,
) -> None:  # fmt: skip
    """Rotate key head `source` of a row and the queries that read it; store key and value."""
    kv_heads, head_dim, half = keys.shape[1], keys.shape[2], cosine.shape[1]
    heads = qkv.shape[1] - 2 * kv_heads
    group = heads // kv_heads
    for index in range(group + 1):
        head = heads + source if index == group else source * group + index
        for at in range(half):
            low, high = qkv[row, head, at], qkv[row, head, at + half]
            c, s = cosine[position, at], sine[position, at]
            qkv[row, head, at] = low * c - high * s
            qkv[row, head, at + half] = high * c + low * s
    block, offset = slot // BLOCK, slot % BLOCK
    for at in range(head_dim):
        keys[block, source, at, offset] = narrow(qkv[row, heads + source, at], keys)
        values[block, source, offset, at] = narrow(qkv[row, heads + kv_heads + source, at], values)


@kernel
def attend_tile(
    qkv: Any, keys: Any, values: Any, tables: Any, tile: Any, source: Any, positions: Any,
    window: Any, out: Any,
) -> None:  # fmt: skip
    """Attention of a tile's queries that read key head `source`; see `attend`."""
    row, count, head_dim = np.int64(tile[0]), np.int64(tile[1]), keys.shape[2]
    group = out.shape[1] // keys.shape[1]
    first = max(0, positions[row] - window + 1) if window > 0 else 0
    last = positions[row + count - 1]
    start = first // BLOCK
    table = tables[tile[2], start : last // BLOCK + 1]
    origin = start * BLOCK
    queries = np.empty((count * group, head_dim), np.float32)
    scale = np.float32(1.0) / np.sqrt(np.float32(head_dim))
    for index in range(count * group):
        at, head = row + index // group, source * group + index % group
        for feature in range(head_dim):
            queries[index, feature] = qkv[at, head, feature] * scale
    scores = np.empty((len(queries), -(-table.shape[0] * BLOCK // _CHUNK) * _CHUNK), np.float32)
    _score(queries, keys, table, source, scores)
    totals = np.empty(len(queries), np.float32)
    for index in range(len(queries)):
        position = np.int64(positions[row + index // group])
        earliest = max(0, position - window + 1) if window > 0 else 0
        totals[index] = _soften(scores[index], earliest - origin, position - origin)
    mixed = _mix(scores, values, table, source, last - origin)
    for index in range(len(queries)):
        at, head = row + index // group, source * group + index % group
        for feature in range(head_dim):
            value = mixed[feature // PANEL, index, feature % PANEL]
            out[at, head, feature] = value / totals[index]


@inlined
def _score(queries: Any, keys: Any, table: Any, source: Any, scores: Any) -> None:
    """Products of every query with every key of the table's blocks."""
    count, head_dim = queries.shape
    panel = np.zeros((head_dim, PANEL), np.float32)
    tile = np.empty((MAX_ROWS, PANEL), np.float32)
    for start in range(0, scores.shape[1], PANEL):
        for half in range(min(PANEL // BLOCK, table.shape[0] - start // BLOCK)):
            block = table[start // BLOCK + half]
            for feature in range(head_dim):
                for lane in range(BLOCK):
                    value = widen(keys[block, source, feature, lane])
                    panel[feature, half * BLOCK + lane] = value
        done = 0
        while done < count:
            tile[:] = np.float32(0.0)
            at = address(queries, done * head_dim)
            taken = multiply_rows(
                at, head_dim, head_dim, address(panel, 0), panel, tile, count - done
            )
            for index in range(taken):
                for lane in range(PANEL):
                    scores[done + index, start + lane] = tile[index, lane]
            done += taken


@inlined
def _soften(scores: Any, first: Any, last: Any) -> Any:
    """e**(score - peak) of the visible positions [first, last], 0 for others; returns the sum."""
    lanes = np.full(LANES, _HIDDEN)
    for start in range(0, scores.shape[0], LANES):
        for lane in range(LANES):
            visible = first <= start + lane and start + lane <= last
            value = scores[start + lane] if visible else _HIDDEN
            scores[start + lane] = value
            lanes[lane] = value if value > lanes[lane] else lanes[lane]
    peak = _HIDDEN
    for lane in range(LANES):
        peak = max(peak, lanes[lane])
    lanes[:] = np.float32(0.0)
    for start in range(0, scores.shape[0], LANES):
        for lane in range(LANES):
            scores[start + lane] = exp32(scores[start + lane] - peak)
            lanes[lane] += scores[start + lane]
    total = np.float32(0.0)
    for lane in range(LANES):
        total += lanes[lane]
    return total


@inlined
def _mix(scores: Any, values: Any, table: Any, source: Any, last: Any) -> Any:
    """Sum of the values weighted by the scores: (panels, queries, PANEL)."""
    count, head_dim = scores.shape[0], values.shape[3]
    parts = -(-head_dim // PANEL)
    mixed = np.zeros((parts, count, PANEL), np.float32)
    panel = np.zeros((parts, _CHUNK, PANEL), np.float32)
    for start in range(0, scores.shape[1], _CHUNK):
        # What lies behind the last position is another sequence's, and 0 * inf is no 0.
        depth = min(_CHUNK, last + 1 - start)
        for line in range(depth):
            block, offset = table[(start + line) // BLOCK], line % BLOCK
            for feature in range(head_dim):
                value = widen(values[block, source, offset, feature])
                panel[feature // PANEL, line, feature % PANEL] = value
        for part in range(parts):
            done = 0
            while done < count:
                at = address(scores, done * scores.shape[1] + start)
                weights = address(panel, part * _CHUNK * PANEL)
                tile = mixed[part, done:]
                done += multiply_rows(
                    at, scores.shape[1], depth, weights, panel, tile, count - done
                )
    return mixed
