"""Attention over a cache of bfloat16, by tiles where the processor has them, against its twin."""

import numba
import numpy as np
import pytest
import torch

from llmos_kernels import _tiles, reference
from llmos_kernels._attention_amx import attend_pairs, begin_pairs, end_pairs, room_of_pairs
from llmos_kernels._attention_tiles import TILES
from llmos_kernels.attention import BLOCK, attend, rotate_and_store, rows_per_tile

# Of the values' spread. Tiles round queries and weights, too: measured, 0.006 at most.
TOLERANCE = 0.015 if TILES else 1e-5
POSITIONS, BLOCKS = 70, 9
SHAPES = [(9, 3, 64), (4, 4, 128), (2, 1, 80), (20, 1, 64)]


class Cache:
    """A sequence of POSITIONS in scattered blocks; `junk` is in what it does not use."""

    def __init__(self, heads, kv_heads, head_dim, junk=0.0):
        self.heads, self.kv_heads = heads, kv_heads
        random = np.random.default_rng(0)
        self.table = random.permutation(BLOCKS)[: -(-POSITIONS // BLOCK)].astype(np.int32)
        shape = POSITIONS, heads + 2 * kv_heads, head_dim
        self.qkv = random.standard_normal(shape, np.float32)
        bits = bfloat16(np.full(1, junk, np.float32))[0]
        self.keys = np.full((BLOCKS, kv_heads, head_dim, BLOCK), bits, np.uint16)
        self.values = np.full((BLOCKS, kv_heads, BLOCK, head_dim), bits, np.uint16)
        at = np.arange(POSITIONS)
        slots = self.table[at // BLOCK].astype(np.int64) * BLOCK + at % BLOCK
        flat = np.zeros((POSITIONS, 0), np.float32)
        rotate_and_store(self.qkv, flat, flat, at.astype(np.int32), slots, self.keys, self.values)

    def run(self, rows, tile_rows, window=0):
        tile_rows = min(tile_rows, rows_per_tile(self.heads, self.kv_heads))
        out = np.full((len(rows), self.heads, self.qkv.shape[2]), np.nan, np.float32)
        starts = range(0, len(rows), tile_rows)
        tiles = [(start, min(tile_rows, len(rows) - start), 0) for start in starts]
        attend(
            self.qkv[rows].copy(), self.keys, self.values, self.table[None],
            np.array(tiles, np.int32), np.array(rows, np.int32), window, out,
        )  # fmt: skip
        return out

    def whole(self, window=0):
        return self.run(range(POSITIONS), POSITIONS, window)

    def expected(self, window=0):
        query, rest = self.qkv[:, : self.heads], self.qkv[:, self.heads :]
        rounded = torch.from_numpy(rest).bfloat16().float().numpy()
        key, value = np.split(rounded, 2, axis=1)
        return reference.attend(query, key, value, query.shape[2] ** -0.5, window)


def bfloat16(values):
    return torch.from_numpy(values).bfloat16().view(torch.uint16).numpy()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("window", [0, 5, 40])
def test_equals_twin(shape, window):
    """More queries to a key head than a tile has rows, too; cut and tiled anyhow, the same bits."""
    cache = Cache(*shape)
    whole, expected = cache.whole(window), cache.expected(window)
    np.testing.assert_allclose(whole, expected, atol=TOLERANCE * np.abs(expected).max())
    for rows, tile_rows in (([69], 1), ([0, 3], 1), (list(range(13, 40)), 3), ([69, 5, 17], 1)):
        np.testing.assert_array_equal(cache.run(rows, tile_rows, window), whole[list(rows)])


@pytest.mark.parametrize("shape", SHAPES)
def test_unused_positions_do_not_leak(shape):
    """Neither what a block held before nor NaN in it, behind an even or an odd position."""
    wanted = Cache(*shape).whole()
    for junk in (7.0, np.nan):
        cache = Cache(*shape, junk=junk)
        np.testing.assert_array_equal(cache.whole(), wanted)
        for last in (64, 65):
            np.testing.assert_array_equal(cache.run([last], 1), wanted[[last]])


def test_large_scores():
    """One position far above all others takes all the weight; nothing overflows."""
    cache = Cache(4, 4, 64)
    cache.qkv[:, :4] = 1000 * cache.qkv[:1, 4:8]
    value = torch.from_numpy(cache.qkv[:1, 8:]).bfloat16().float().numpy()
    np.testing.assert_allclose(cache.whole(), np.repeat(value, POSITIONS, axis=0), rtol=1e-6)


@pytest.mark.skipif(not TILES, reason="the processor has no AMX, or LLMOS_DOT is set")
def test_what_a_tile_leaves_out_would_show(monkeypatch):
    """The control: every second product is missing from the code."""
    cache = Cache(1, 1, 64)
    multiply, seen = _tiles.multiply, []

    def some(*arguments):
        seen.append(arguments)
        if len(seen) % 2:
            multiply(*arguments)

    monkeypatch.setattr(_tiles, "multiply", some)
    anew = numba.njit(attend_pairs.py_func, error_model="numpy")

    @numba.njit
    def last(qkv, keys, values, table, out):
        begin_pairs(keys)
        tile, at = np.array([0, 1, 0]), np.array([POSITIONS - 1])
        anew(qkv, keys, values, table, tile, 0, at, 0, room_of_pairs(64, BLOCKS), out)
        end_pairs(keys)

    out = np.zeros((1, 1, 64), np.float32)
    last(cache.qkv[-1:], cache.keys, cache.values, cache.table[None], out)
    expected = cache.expected()[-1:]
    assert np.isfinite(out).all()
    assert np.abs(out - expected).max() > TOLERANCE * np.abs(cache.expected()).max()
