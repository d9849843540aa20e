"""Attention of a tile of queries by AMX: products of pairs of bfloat16 numbers, sums in float32.

For this the cache holds pairs side by side (Intel SDM, TDPBF16PS): a block of keys as (head_dim /
2, BLOCK, 2), pairs of features; a block of values as (BLOCK / 2, head_dim, 2), pairs of positions.
Queries and weights are rounded to bfloat16, as keys and values are.

A query's sums run in the order of features and of positions, whatever is beside it: its bits depend
on neither the batch nor how a prompt was cut.
"""

from typing import Any

import numpy as np

from llmos_kernels._attention_tiles import (
    DEPTH,
    QUERIES,
    TILES,
    TWO,
    begin,
    copy_pairs,
    end,
    mix_blocks,
    narrow_line,
    scale_line,
    score_blocks,
    soften_line,
)
from llmos_kernels._jit import address, inlined, kernel
from llmos_kernels._placing import BLOCK
from llmos_kernels.aligned import LINE


@inlined
def in_pairs(keys: Any) -> Any:
    """Whether a cache is for `attend_pairs`."""
    return TILES and keys.itemsize == TWO and keys.shape[2] % DEPTH == 0


@inlined
def begin_pairs(keys: Any) -> None:
    """Must come before a thread's first `attend_pairs`; `end_pairs` after the last."""
    if in_pairs(keys):
        begin((np.int64(0),))


@inlined
def end_pairs(keys: Any) -> None:
    """See `begin_pairs`."""
    if in_pairs(keys):
        end((np.int64(0),))


@inlined
def room_of_pairs(head_dim: Any, blocks: Any) -> Any:
    """What `attend_pairs` works in, for tables of up to `blocks` blocks."""
    row = 2 * head_dim * TWO + head_dim * 4 + blocks * BLOCK * (4 + TWO) + 2 * LINE
    memory, heads = np.empty(LINE + QUERIES * row, np.uint8), np.empty((QUERIES, 2), np.int64)
    return memory, np.empty(QUERIES, np.float32), heads


@kernel
def attend_pairs(
    qkv: Any, keys: Any, values: Any, tables: Any, tile: Any, source: Any, positions: Any,
    window: Any, room: Any, out: Any,
) -> None:  # fmt: skip
    """As attention.attend_tile, over a cache of pairs; `room` as `room_of_pairs` makes it."""
    row, rows, head_dim = np.int64(tile[0]), np.int64(tile[1]), np.int64(keys.shape[2])
    group = np.int64(out.shape[1] // keys.shape[1])
    first = np.int64(max(0, positions[row] - window + 1) if window > 0 else 0)
    start, last = first // BLOCK, np.int64(positions[row + rows - 1])
    blocks = last // BLOCK + 1 - start
    table = address(tables, np.int64(tile[2]) * tables.shape[1] + start)
    stride, head_at = keys.shape[1] * head_dim * BLOCK * TWO, source * head_dim * BLOCK
    keys_at, values_at = address(keys, head_at), address(values, head_at)
    # A line more than a row of scores is long: of a tile whose rows lie a power of two apart, only
    # a few fit into a cache.
    width, narrow_width = blocks * BLOCK * 4 + LINE, blocks * BLOCK * TWO + LINE
    queries = (address(room[0], 0) + LINE - 1) // LINE * LINE
    ending = queries + QUERIES * head_dim * TWO
    mixed = ending + BLOCK * head_dim * TWO
    scores = mixed + QUERIES * head_dim * 4
    weights = scores + QUERIES * width
    _copy_block(values, np.int64(tables[tile[2], last // BLOCK]), source, last % BLOCK, ending)
    scale = np.float32(1.0) / np.sqrt(np.float32(head_dim))
    sums, heads = room[1], room[2]
    for begin_at in range(np.int64(0), rows * group, np.int64(QUERIES)):
        count = min(np.int64(QUERIES), rows * group - begin_at)
        for index in range(count):
            heads[index, 0] = row + (begin_at + index) // group
            heads[index, 1] = source * group + (begin_at + index) % group
            query = queries + index * head_dim * TWO
            narrow_line((_head_of(qkv, heads[index]), scale, query, head_dim))
        score_blocks((
            queries, head_dim, table, blocks, keys_at, stride, scores, width, values_at,
        ))  # fmt: skip
        for index in range(count):
            position = np.int64(positions[heads[index, 0]]) - start * BLOCK
            earliest = max(np.int64(0), position - window + 1) if window > 0 else np.int64(0)
            sums[index] = soften_line(
                scores + index * width, weights + index * narrow_width, blocks * BLOCK, earliest,
                position,
            )  # fmt: skip
        mix_blocks((
            weights, narrow_width, table, blocks, values_at, stride, ending, mixed, head_dim,
        ))  # fmt: skip
        for index in range(count):
            result, target = mixed + index * head_dim * 4, _head_of(out, heads[index])
            scale_line((result, np.float32(1.0) / sums[index], target, head_dim))


@inlined
def _head_of(array: Any, head: Any) -> Any:
    """The address of head (row, number of the head)."""
    return address(array, (head[0] * array.shape[1] + head[1]) * array.shape[2])


@inlined
def _copy_block(values: Any, block: Any, source: Any, last: Any, target: Any) -> None:
    """Positions up to `last` of a block of values, and zeros.

    What lies behind the last position is another sequence's, and 0 * inf is no 0.
    """
    head_dim = np.int64(values.shape[3])
    at = address(values, (block * values.shape[1] + source) * head_dim * BLOCK)
    pairs, half = (last + 1) // 2 * head_dim, (last + 1) % 2 * head_dim
    copy_pairs((at, target, pairs, half, head_dim * BLOCK // 2))
