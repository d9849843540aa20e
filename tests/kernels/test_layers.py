"""Norms, activations, rotation and paged attention against their twins."""

import numpy as np
import pytest
import torch

from llmos_kernels import reference
from llmos_kernels.activation import gelu, silu_multiply
from llmos_kernels.attention import BLOCK, attend, rotate_and_store, rows_per_tile
from llmos_kernels.norm import layer_norm, rms_norm
from llmos_kernels.recurrent import gru_cell, lstm_cell, rnn_cell


def normal(*shape, seed=0, scale=1.0):
    return np.random.default_rng(seed).standard_normal(shape, np.float32) * np.float32(scale)


def tile(rows, tile_rows):
    """Tiles of consecutive rows of sequence 0."""
    starts = range(0, rows, tile_rows)
    tiles = [(start, min(tile_rows, rows - start), 0) for start in starts]
    return np.array(tiles, np.int32)


@pytest.mark.parametrize("size", [1, 15, 16, 17, 64, 576, 1000])
def test_norms(size):
    """Any size, small and large values."""
    x, weight, bias = normal(7, size, scale=30), normal(size, seed=1), normal(size, seed=2)
    out = np.empty_like(x)
    rms_norm(x, weight, np.float32(1e-5), out)
    np.testing.assert_allclose(out, reference.rms_norm(x, weight, 1e-5), rtol=2e-6, atol=2e-6)
    layer_norm(x, weight, bias, np.float32(1e-5), out)
    np.testing.assert_allclose(
        out, reference.layer_norm(x, weight, bias, 1e-5), rtol=2e-5, atol=2e-5
    )


def test_activations():
    """From far below to far above zero, where exp would overflow."""
    x = np.linspace(-200, 200, 4001, dtype=np.float32)[None]
    gate_up = np.concatenate([x, normal(*x.shape)], axis=1)
    out = np.empty_like(x)
    silu_multiply(gate_up, out)
    np.testing.assert_allclose(out, reference.silu_multiply(gate_up), rtol=1e-6, atol=1e-6)
    gelu(x, out)
    np.testing.assert_allclose(out, reference.gelu(x), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("size", [1, 7, 64, 100])
def test_cells(size):
    """Gates far open, far closed and between; a row has the same bits alone."""
    rows = 9
    inputs, states = normal(rows, 4 * size, scale=20), normal(rows, 4 * size, seed=1, scale=20)
    before = normal(rows, size, seed=2)
    inputs[0], states[0], inputs[1] = 100, 100, -200
    cell, out = before.copy(), np.empty_like(before)
    lstm_cell(inputs, states, cell, out)
    for found, wanted in zip((out, cell), reference.lstm_cell(inputs, states, before), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
    alone, last = before[3:4].copy(), np.empty((1, size), np.float32)
    lstm_cell(inputs[3:4], states[3:4], alone, last)
    assert np.array_equal(last[0], out[3])
    assert np.array_equal(alone[0], cell[3])
    part, rest = inputs[:, : 3 * size].copy(), states[:, : 3 * size].copy()
    gru_cell(part, rest, before, out)
    np.testing.assert_allclose(out, reference.gru_cell(part, rest, before), rtol=1e-6, atol=1e-6)
    part, rest = inputs[:, :size].copy(), states[:, :size].copy()
    rnn_cell(part, rest, out)
    np.testing.assert_allclose(out, reference.rnn_cell(part, rest), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("heads", "kv_heads", "head_dim"), [(9, 3, 64), (4, 4, 16), (2, 1, 10)])
@pytest.mark.parametrize("window", [0, 5, 40])
def test_attention(heads, kv_heads, head_dim, window):
    """Grouped heads, odd sizes, sliding windows; prompts cut and tiled anyhow give the same bits."""
    positions, num_blocks = 70, 9
    table = np.random.default_rng(1).permutation(num_blocks)[: -(-positions // BLOCK)]
    qkv = normal(positions, heads + 2 * kv_heads, head_dim)
    query, key, value = np.split(qkv, [heads, heads + kv_heads], axis=1)
    keys, values = reference.paged(key, value, table, num_blocks)

    def run(rows, tile_rows):
        out = np.empty((len(rows), heads, head_dim), np.float32)
        tiles = tile(len(rows), tile_rows)
        blocks, at = table[None].astype(np.int32), rows.astype(np.int32)
        attend(qkv[rows].copy(), keys, values, blocks, tiles, at, window, out)
        return out

    whole = run(np.arange(positions), rows_per_tile(heads, kv_heads))
    expected = reference.attend(query, key, value, head_dim**-0.5, window)
    np.testing.assert_allclose(whole, expected, atol=2e-6)
    for rows, tile_rows in (([69], 1), ([0, 3], 1), (list(range(13, 40)), 3), ([69, 5, 17], 1)):
        np.testing.assert_array_equal(run(np.array(rows), tile_rows), whole[rows])


def test_attention_over_bfloat16():
    """A cache of half the size holds the numbers rounded to nearest, ties to even."""
    qkv = normal(20, 4, 16)
    slots, positions = np.arange(20, dtype=np.int64), np.arange(20, dtype=np.int32)
    keys, values = np.zeros((2, 1, 16, BLOCK), np.uint16), np.zeros((2, 1, BLOCK, 16), np.uint16)
    flat = np.zeros((20, 0), np.float32)
    rotate_and_store(qkv, flat, flat, positions, slots, keys, values)
    rounded = torch.from_numpy(qkv[:, 2:]).bfloat16().float().numpy()
    out = np.empty((20, 2, 16), np.float32)

    table = np.array([[0, 1]], np.int32)
    attend(qkv, keys, values, table, tile(20, 3), positions, 0, out)

    expected = reference.attend(qkv[:, :2], rounded[:, :1], rounded[:, 1:], 0.25)
    np.testing.assert_allclose(out, expected, atol=2e-6)


def test_unused_positions_do_not_leak():
    """What a block held before, behind the last position, changes nothing: not even NaN."""
    table = np.array([[1, 0]], np.int32)
    key, value, query = normal(18, 2, 16), normal(18, 2, 16, seed=1), normal(1, 2, 16, seed=2)
    keys, values = reference.paged(key, value, table[0], 2)
    qkv = np.concatenate([query, key[:1], value[:1]], axis=1)
    results = []
    for junk in (0.0, 7.0, np.nan):
        keys[0, :, :, 2:], values[0, :, 2:] = junk, junk
        out = np.empty((1, 2, 16), np.float32)
        attend(qkv, keys, values, table, tile(1, 1), np.array([17], np.int32), 0, out)
        results.append(out)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_rotate_and_store():
    """Queries and keys are rotated, values not; each lands in its slot."""
    heads, kv_heads, head_dim, rows = 4, 2, 16, 5
    qkv = normal(rows, heads + 2 * kv_heads, head_dim)
    angles = normal(40, head_dim // 2, seed=1)
    cosine, sine = np.cos(angles), np.sin(angles)
    positions = np.array([3, 4, 20, 0, 39], np.int32)
    slots = np.array([5, 6, 17, 40, 63], np.int64)
    keys = np.zeros((4, kv_heads, head_dim, BLOCK), np.float32)
    values = np.zeros((4, kv_heads, BLOCK, head_dim), np.float32)
    before = qkv.copy()

    rotate_and_store(qkv, cosine, sine, positions, slots, keys, values)

    rotated = reference.rotate(before[:, :-kv_heads], cosine[positions], sine[positions])
    np.testing.assert_allclose(qkv[:, :-kv_heads], rotated, atol=1e-6)
    for row, slot in enumerate(slots):
        block, offset = divmod(slot, BLOCK)
        np.testing.assert_array_equal(keys[block, :, :, offset], qkv[row, heads:-kv_heads])
        np.testing.assert_array_equal(values[block, :, offset], before[row, -kv_heads:])
