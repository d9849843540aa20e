"""The Triton kernels against llmos_kernels.reference, on whatever device there is.

Without CUDA, Triton interprets them on the CPU: that checks what they compute, not that they
compile.
"""

import numpy as np
import pytest
import torch

from llmos_kernels import reference
from llmosd.architectures.architecture import ForwardBatch, LayerCache

pytest.importorskip("triton", reason="triton is not installed: torch's CUDA build brings it")

from llmosd.engine.cuda.attention import attend, num_splits, rows_per_tile
from llmosd.engine.cuda.matvec import matvec
from llmosd.engine.cuda.pointwise import rms_norm, silu_multiply
from llmosd.engine.cuda.rotation import rotate_and_store

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 2e-2}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
BLOCK = 16


def normal(*shape, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(dtype).to(DEVICE)


def close(actual, expected, dtype):
    expected = torch.as_tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(
        actual.double().cpu(), expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype]
    )


def wide(tensor):
    return tensor.double().cpu().numpy()


@DTYPES
@pytest.mark.parametrize("features", [48, 64, 1500])
def test_rms_norm(dtype, features):
    x, weight = normal(5, features, dtype=dtype), normal(features, seed=1)
    close(rms_norm(x, weight, 1e-5), reference.rms_norm(wide(x), wide(weight), 1e-5), dtype)


@DTYPES
@pytest.mark.parametrize("features", [48, 1500])
def test_silu_multiply(dtype, features):
    x = normal(5, 2 * features, dtype=dtype)
    close(silu_multiply(x), reference.silu_multiply(wide(x)), dtype)


@DTYPES
@pytest.mark.parametrize(("outputs", "inputs"), [(64, 64), (37, 1100), (130, 48)])
@pytest.mark.parametrize("extras", ["", "bias", "norm", "residual", "norm bias residual"])
def test_matvec(dtype, outputs, inputs, extras):
    """One row's product, with everything that may come before and after it."""
    x, weight = normal(1, inputs, dtype=dtype), normal(outputs, inputs, dtype=dtype, seed=1)
    weight *= inputs**-0.5
    bias = normal(outputs, seed=2) if "bias" in extras else None
    norm = normal(inputs, seed=3) if "norm" in extras else None
    residual = normal(1, outputs, dtype=dtype, seed=4) if "residual" in extras else None
    row = wide(x) if norm is None else reference.rms_norm(wide(x), wide(norm), 1e-5)
    expected = reference.linear(row, wide(weight), None if bias is None else wide(bias))
    if residual is not None:
        expected = expected + wide(residual)
    given = None if norm is None else (norm, 1e-5)
    close(matvec(x, weight, bias, norm=given, residual=residual), expected, dtype)


@DTYPES
@pytest.mark.parametrize("with_bias", [False, True])
def test_gated_matvec(dtype, with_bias):
    """The gate's and the upward product in one pass."""
    x, weight = normal(1, 1100, dtype=dtype), normal(2 * 37, 1100, dtype=dtype, seed=1) / 33
    bias = normal(2 * 37, seed=2) if with_bias else None
    norm = normal(1100, seed=3)
    row = reference.rms_norm(wide(x), wide(norm), 1e-5)
    both = reference.linear(row, wide(weight), None if bias is None else wide(bias))
    actual = matvec(x, weight, bias, norm=(norm, 1e-5), gated=True)
    close(actual, reference.silu_multiply(both), dtype)


class Case:
    """Sequences with cached positions and rows to add, in shuffled blocks of a larger cache."""

    def __init__(self, lengths, heads, kv_heads, head_dim, dtype, *, single=False, padding=0):
        rng = np.random.default_rng(7)
        self.heads, self.kv_heads = heads, kv_heads
        contexts = [before + rows for before, rows in lengths]
        needed = [-(-context // BLOCK) for context in contexts]
        blocks = rng.permutation(sum(needed) + 3)
        self.free = blocks[sum(needed) :]
        tables = np.full((len(lengths), max(needed)), self.free[0], np.int32)
        rows, positions, slots, tiles, spans = 0, [], [], [], []
        largest = 1 if single else rows_per_tile(heads, kv_heads)
        for index, (before, count) in enumerate(lengths):
            tables[index, : needed[index]] = blocks[: needed[index]]
            blocks = blocks[needed[index] :]
            at = np.arange(before, before + count)
            positions += at.tolist()
            slots += (tables[index, at // BLOCK] * BLOCK + at % BLOCK).tolist()
            tiles += [
                (rows + first, min(largest, count - first), index)
                for first in range(0, count, largest)
            ]
            spans.append((rows, count))
            rows += count
        positions += [0] * padding
        slots += [-1] * padding
        tiles += [(rows + at, 0, 0) for at in range(padding)]
        put = torch.tensor
        self.batch = ForwardBatch(
            put([0] * len(slots), device=DEVICE),
            put(positions, dtype=torch.int32, device=DEVICE),
            put(tiles, dtype=torch.int32, device=DEVICE),
            put(slots, device=DEVICE),
            put(tables, device=DEVICE),
            spans,
            put([0] * len(slots), device=DEVICE),
        )
        shape = (len(self.free) + sum(needed), kv_heads, BLOCK, head_dim)
        keys, values = normal(*shape, dtype=dtype, seed=1), normal(*shape, dtype=dtype, seed=2)
        self.cache = LayerCache(keys.transpose(2, 3), values)
        self.qkv = normal(rows + padding, heads + 2 * kv_heads, head_dim, dtype=dtype)
        self.rows = rows
        self.contexts = contexts

    def cached(self, index):
        """A sequence's keys and values (positions, kv_heads, head_dim)."""
        table = self.batch.tables[index].long()
        keys = wide(self.cache.keys[table].permute(0, 3, 1, 2).flatten(0, 1))
        values = wide(self.cache.values[table].transpose(1, 2).flatten(0, 1))
        return keys[: self.contexts[index]], values[: self.contexts[index]]

    def expected(self, window):
        scale = self.qkv.shape[-1] ** -0.5
        query = wide(self.qkv)[:, : self.heads]
        return np.concatenate(
            [
                reference.attend(query[start : start + count], *self.cached(index), scale, window)
                for index, (start, count) in enumerate(self.batch.spans)
            ]
        )


@pytest.mark.parametrize("processors", [1, 24], ids=["whole", "split"])
@pytest.mark.parametrize(("heads", "kv_heads", "head_dim", "window", "dtype"), [
    (4, 2, 32, 0, torch.float32),
    (4, 2, 32, 0, torch.bfloat16),
    (9, 3, 64, 20, torch.float32),
    (7, 1, 24, 70, torch.float32),
    (4, 2, 32, 1, torch.float32),
])  # fmt: skip
def test_attention(processors, heads, kv_heads, head_dim, window, dtype):
    """Prompts, chunks and single rows together; whole, and split among programs."""
    lengths = [(0, 50), (260, 1), (77, 20), (0, 1), (15, 2)]
    case = Case(lengths, heads, kv_heads, head_dim, dtype)
    out = attend(case.qkv, case.cache, case.batch, window, processors)
    close(out, case.expected(window), dtype)


@DTYPES
@pytest.mark.parametrize("window", [0, 40])
@pytest.mark.parametrize("processors", [1, 24], ids=["whole", "split"])
def test_decoding_attention(dtype, window, processors):
    """One row per tile, and padding rows that belong to nobody."""
    case = Case([(300, 1), (0, 1), (129, 1)], 6, 2, 32, dtype, single=True, padding=2)
    out = attend(case.qkv, case.cache, case.batch, window, processors)
    close(out[: case.rows], case.expected(window), dtype)
    assert not out[case.rows :].any()


@DTYPES
@pytest.mark.parametrize("head_dim", [24, 64])
@pytest.mark.parametrize("rotated", [False, True])
def test_rotate_and_store(dtype, head_dim, rotated):
    """Rows go to their slots and nowhere else; padding goes nowhere."""
    case = Case([(0, 20), (37, 1)], 4, 2, head_dim, dtype, padding=3)
    angles = normal(64, head_dim // 2, seed=5)
    rope = (angles.cos(), angles.sin()) if rotated else None
    before = [part.clone() for part in case.cache]
    qkv = wide(case.qkv)
    at = case.batch.positions.long()
    turned = qkv
    if rope is not None:
        tables = [wide(part[at]) for part in rope]
        turned = np.concatenate([reference.rotate(qkv[:, :6], *tables), qkv[:, 6:]], axis=1)
    rotate_and_store(case.qkv, rope, case.cache, case.batch)
    close(case.qkv[:, :4], turned[:, :4], dtype)
    expected_keys, expected_values = (wide(part) for part in before)
    for row, slot in enumerate(case.batch.slots.tolist()):
        if slot >= 0:
            expected_keys[slot // BLOCK, :, :, slot % BLOCK] = turned[row, 4:6]
            expected_values[slot // BLOCK, :, slot % BLOCK] = turned[row, 6:]
    close(case.cache.keys, expected_keys, dtype)
    close(case.cache.values, expected_values, dtype)
    touched = case.batch.slots[case.batch.slots >= 0] // BLOCK
    untouched = torch.ones(len(before[0]), dtype=torch.bool)
    untouched[touched.cpu()] = False
    for part, known in zip(case.cache, before, strict=True):
        assert torch.equal(part.cpu()[untouched], known.cpu()[untouched])


def test_num_splits():
    """Few tiles are split until the device is full, short contexts never."""
    assert num_splits(1, 8, 131072, 132) == 32
    assert num_splits(64, 8, 131072, 132) == 1
    assert num_splits(1, 8, 100, 132) == 1
    assert num_splits(1, 8, 1024, 132) == 8
    assert num_splits(1, 1, 1 << 20, 132) == 64
