"""Rotary embedding, the paged key-value cache, and attention over it.

The cache of a layer is two arrays of blocks of BLOCK positions: keys (num_blocks, kv_heads,
head_dim, BLOCK), so that the scores of a block's positions lie side by side, and values
(num_blocks, kv_heads, BLOCK, head_dim). A query sees its sequence's blocks in order of position,
in prefill and in decoding alike, so its result does not depend on how the prompt was cut or on the
other rows.
Twins: reference.store, reference.attend.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from llmos_kernels import _vector as vec
from llmos_kernels._jit import LANES, address, exp32, fma, inlined, parallel_kernel

BLOCK = 16
assert BLOCK == LANES


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
    half = cosine.shape[1]
    kv_heads, head_dim = keys.shape[1], keys.shape[2]
    rotated = qkv.shape[1] - kv_heads
    heads = rotated - kv_heads
    for row in prange(qkv.shape[0]):
        position = positions[row]
        for head in range(rotated):
            for at in range(half):
                low, high = qkv[row, head, at], qkv[row, head, at + half]
                c, s = cosine[position, at], sine[position, at]
                qkv[row, head, at] = low * c - high * s
                qkv[row, head, at + half] = high * c + low * s
        block, offset = slots[row] // BLOCK, slots[row] % BLOCK
        for head in range(kv_heads):
            for at in range(head_dim):
                keys[block, head, at, offset] = qkv[row, heads + head, at]
                values[block, head, offset, at] = qkv[row, rotated + head, at]


@parallel_kernel
def attend(
    qkv: Any,
    keys: Any,
    values: Any,
    tables: Any,
    sequences: Any,
    positions: Any,
    scale: Any,
    window: Any,
    out: Any,
) -> None:
    """Causal attention of each row over its sequence's blocks.

    Args:
        qkv: (rows, heads + 2 * kv_heads, head_dim) float32; only the queries are read.
        keys, values: the layer's cache.
        tables: (sequences, max_blocks) int32 block numbers.
        sequences: (rows,) int32, which table a row reads.
        positions: (rows,) int32; a row sees positions 0 to its own.
        scale: float32 factor of the scores.
        window: how many positions back a row sees, 0 for all.
        out: (rows, heads, head_dim) float32.
    """
    heads = out.shape[1]
    group = heads // keys.shape[1]
    for task in prange(out.shape[0] * heads):
        row, head = task // heads, task % heads
        first = max(0, positions[row] - window + 1) if window > 0 else 0
        start = first // BLOCK
        table = tables[sequences[row], start : positions[row] // BLOCK + 1]
        # Positions count from the first block that is read.
        first, last = first - start * BLOCK, positions[row] - start * BLOCK
        scores = np.empty(table.shape[0] * BLOCK, np.float32)
        source = head // group
        peak = _score(qkv, row, head, keys, table, source, scores, scale, first, last)
        _mix(scores, peak, values, table, source, last, out[row, head])


@inlined
def _score(
    qkv: Any, row: Any, head: Any, keys: Any, table: Any, source: Any, scores: Any, scale: Any,
    first: Any, last: Any,
) -> Any:  # fmt: skip
    """Scaled products with keys [first, last], -inf outside; returns the largest."""
    kv_heads, head_dim = keys.shape[1], keys.shape[2]
    query = address(qkv, (row * qkv.shape[1] + head) * head_dim)
    peak = np.float32(-np.inf)
    for index in range(table.shape[0]):
        tile = address(keys, (table[index] * kv_heads + source) * head_dim * BLOCK)
        _products(query, tile, np.int64(head_dim), address(scores, index * BLOCK))
        for lane in range(BLOCK):
            at = index * BLOCK + lane
            visible = first <= at <= last
            scores[at] = scores[at] * scale if visible else np.float32(-np.inf)
            peak = max(peak, scores[at])
    return peak


@inlined
def _mix(
    scores: Any, peak: Any, values: Any, table: Any, source: Any, last: Any, result: Any
) -> None:
    """Softmax of the scores, which are overwritten, and the values' mean under it."""
    kv_heads, head_dim = values.shape[1], values.shape[3]
    sums = np.zeros(BLOCK, np.float32)
    result[:] = np.float32(0.0)
    for index in range(table.shape[0]):
        for lane in range(BLOCK):
            scores[index * BLOCK + lane] = exp32(scores[index * BLOCK + lane] - peak)
            sums[lane] += scores[index * BLOCK + lane]
        seen = np.int64(min(BLOCK, last + 1 - index * BLOCK))
        shares = address(scores, index * BLOCK)
        tile = address(values, (table[index] * kv_heads + source) * BLOCK * head_dim)
        column = 0
        while column + 4 * LANES <= head_dim:
            _add_4(shares, seen, tile + 4 * column, head_dim, address(result, column))
            column += 4 * LANES
        while column + LANES <= head_dim:
            _add_1(shares, seen, tile + 4 * column, head_dim, address(result, column))
            column += LANES
        for lane in range(seen):
            for at in range(column, head_dim):
                share = scores[index * BLOCK + lane]
                result[at] = fma(share, values[table[index], source, lane, at], result[at])
    total = np.float32(0.0)
    for lane in range(BLOCK):
        total += sums[lane]
    for at in range(head_dim):
        result[at] = result[at] / total


@intrinsic
def _products_of(_context: Any, query: Any, tile: Any, depth: Any, out: Any) -> Any:
    """out[j] = chain over d of fma(query[d], tile[d, j]); addresses, and the chain's length."""

    def codegen(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        at, keys, length, target = arguments
        at, keys, target = (vec.float_pointer(builder, each) for each in (at, keys, target))
        fma_lanes = vec.fma_function(builder)
        total = cgutils.alloca_once(builder, vec.VECTOR)
        builder.store(vec.zeros(), total)
        with cgutils.for_range(builder, length) as loop:
            factor = vec.splat(builder, builder.load(builder.gep(at, [loop.index])))
            line = vec.load(builder, keys, builder.mul(loop.index, loop.index.type(BLOCK)))
            chained = builder.call(fma_lanes, [factor, line, builder.load(total)])
            builder.store(chained, total)
        vec.store(builder, builder.load(total), target, vec.INDEX(0))
        return ir.Constant(ir.IntType(64), 0)

    return types.int64(query, tile, depth, out), codegen


def _add_of(vectors: int) -> Any:
    """An intrinsic: result[j] = chain over lanes of fma(shares[lane], tile[lane, j], result[j])."""

    @intrinsic
    def add(_context: Any, shares: Any, count: Any, tile: Any, stride: Any, result: Any) -> Any:
        def codegen(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            at, number, lines, step, target = arguments
            at, lines, target = (vec.float_pointer(builder, each) for each in (at, lines, target))
            fma_lanes = vec.fma_function(builder)
            totals = [cgutils.alloca_once(builder, vec.VECTOR) for _ in range(vectors)]
            for part, total in enumerate(totals):
                builder.store(vec.load(builder, target, vec.INDEX(part * LANES)), total)
            with cgutils.for_range(builder, number) as loop:
                factor = vec.splat(builder, builder.load(builder.gep(at, [loop.index])))
                start = builder.mul(loop.index, step)
                for part, total in enumerate(totals):
                    line = vec.load(builder, lines, builder.add(start, step.type(part * LANES)))
                    chained = builder.call(fma_lanes, [factor, line, builder.load(total)])
                    builder.store(chained, total)
            for part, total in enumerate(totals):
                vec.store(builder, builder.load(total), target, vec.INDEX(part * LANES))
            return ir.Constant(ir.IntType(64), 0)

        return types.int64(shares, count, tile, stride, result), codegen

    return add


_products: Any = _products_of
_add_1: Any = _add_of(1)
_add_4: Any = _add_of(4)
