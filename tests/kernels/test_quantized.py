"""Activations and weights of few bits against their twins, on every path a processor may take."""

import subprocess
import sys

import numpy as np
import pytest

from llmos_kernels import _tiles, reference
from llmos_kernels import quantized_linear as module
from llmos_kernels._dot import choose_dot
from llmos_kernels._jit import address, inlined, kernel
from llmos_kernels._products import PANEL
from llmos_kernels.aligned import LINE, aligned, realigned
from llmos_kernels.panels import pack_int4, pack_int8
from llmos_kernels.quantize import HALF, PAIRED, quantized_rows
from llmos_kernels.quantized_linear import (
    PRODUCTS,
    activation_rows,
    quantize_row,
    quantized_linear,
)
from llmos_kernels.whole_rows import PEAK, WholeRows, whole_rows

SHAPES = [(576, 576), (100, 128), (3, 64), (33, 192)]
ROWS = [1, 2, 3, 5, 6, 13, 32, 45, 70]


@kernel
def quantize_all(x, out):
    for row in range(x.shape[0]):
        quantize_row(x[row], row, out)


def quantized(x, room=quantized_rows):
    out = room(*x.shape)
    quantize_all(x, out)
    return out


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def int8_weights(width, depth, seed=0):
    """Packed panels, their columns' scales, and the values they stand for."""
    rng = np.random.default_rng(seed)
    numbers = rng.integers(-127, 128, (width, depth)).astype(np.int8)
    scales = np.ones(-(-width // PANEL) * PANEL, np.float32)
    scales[:width] = rng.random(width)
    return pack_int8(numbers), scales, numbers * scales[:width, None].astype(np.float64)


def int4_weights(width, depth, seed=0):
    """The same in four bits."""
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, 16, (width, depth)).astype(np.uint8)
    scales = rng.random((width, depth // HALF)).astype(np.float16)
    minimums = rng.standard_normal((width, depth // HALF)).astype(np.float16)
    wide = [np.repeat(part.astype(np.float64), HALF, axis=1) for part in (scales, minimums)]
    columns = np.ones(-(-width // PANEL) * PANEL, np.float32)
    return pack_int4(numbers, scales, minimums), columns, numbers * wide[0] + wide[1]


FORMATS = {"int8": int8_weights, "int4": int4_weights}
WITH_AMX = pytest.mark.skipif(
    choose_dot() != "amx", reason="the processor has no AMX, or LLMOS_DOT is set"
)


def paired(numbers):
    """Every four numbers in the order 0, 2, 1, 3, in 16 bits."""
    return (
        numbers.reshape(len(numbers), -1, 4)[..., [0, 2, 1, 3]].reshape(numbers.shape).astype("i2")
    )


def runs_here(name):
    """Every processor that has VNNI has AVX2, too, and those with AMX have VNNI."""
    order = ["plain", "avx2", "avx512-vnni", "amx"]
    return order.index(name) <= order.index(choose_dot())


def run(x, packed, columns, width, rows=None):
    out = np.full((rows or len(x.scales), width), np.nan, np.float32)
    quantized_linear(x, packed, columns, out)
    return out


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_activations(scale):
    """To the bit as the twin, rows of zeros and half-way cases included."""
    x = normal(9, 192) * np.float32(scale)
    x[3] = 0
    x[4, :64] = np.arange(64) * np.float32(scale) / 2  # rounds ties
    x[5, 7] *= 1000
    result = quantized(x)
    numbers, scales = reference.quantize(x)
    np.testing.assert_array_equal(result.numbers, numbers)
    np.testing.assert_array_equal(result.scales, scales)
    halves = numbers.astype(np.int32).reshape(9, -1, HALF).sum(-1)
    np.testing.assert_array_equal(result.offsets, -128 * (halves[:, ::2] + halves[:, 1::2]))
    np.testing.assert_array_equal(
        result.sums, halves.astype(np.float32) * np.repeat(scales, 2, axis=1)
    )


@pytest.mark.parametrize("make", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize(("width", "depth"), SHAPES)
def test_equals_twin(make, width, depth):
    """And a row has the same bits with any number of rows beside it."""
    packed, columns, values = make(width, depth)
    x = normal(max(ROWS), depth, seed=1)
    whole = run(quantized(x), packed, columns, width)
    expected = reference.quantized_linear(reference.quantize(x), values)
    np.testing.assert_allclose(whole, expected, atol=2e-6 * np.abs(expected).max())
    for rows in ROWS:
        last = run(quantized(x[-rows:].copy()), packed, columns, width)
        np.testing.assert_array_equal(last, whole[-rows:])


@WITH_AMX
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_whole_rows(scale):
    """To the bit as the twin, rows of zeros and half-way cases included."""
    x = normal(37, 192) * np.float32(scale)
    x[3] = 0
    x[4] = np.arange(192) * np.float32(scale) / 2  # rounds ties
    x[4, 0] = PEAK * np.float32(scale) / 2
    x[5, 7] *= 1000
    result = quantized(x, whole_rows)
    numbers, scales = reference.quantize_whole(x)
    high, low = (
        # (row tiles, groups, rows of a tile, features of a group) of a plane, as rows.
        result.numbers[:, :, plane].transpose(0, 2, 1, 3).reshape(48, 192)[:37].astype(int)
        for plane in range(2)
    )
    np.testing.assert_array_equal(256 * high + low, numbers)
    np.testing.assert_array_equal(result.scales[:37], scales[:, 0])
    for plane, part in enumerate((high, low)):
        offsets = np.repeat(-128 * part.sum(-1)[:, None], 16, axis=1)
        np.testing.assert_array_equal(result.offsets[plane, :37], offsets)


@WITH_AMX
@pytest.mark.parametrize(("width", "depth"), SHAPES)
def test_products_of_whole_rows(width, depth):
    """Equal the twin, far closer to the float product than groups are; and the same in any batch."""
    packed, columns, values = int8_weights(width, depth)
    x = normal(max(ROWS), depth, seed=1)
    x[:, 5] *= 50  # what costs all others their precision in eight bits
    result = run(quantized(x, whole_rows), packed, columns, width, len(x))
    expected = reference.quantized_linear(reference.quantize_whole(x), values)
    size = np.abs(expected).max()
    np.testing.assert_allclose(result, expected, atol=2e-6 * size)
    exact = x.astype(np.float64) @ values.T
    error = np.abs(result - exact).max()
    assert error < 1e-3 * size
    groups = run(quantized(x), packed, columns, width)
    assert np.abs(groups - exact).max() > 5 * error
    for rows in ROWS:
        last = run(quantized(x[-rows:].copy(), whole_rows), packed, columns, width, rows)
        np.testing.assert_array_equal(last, result[-rows:])


@WITH_AMX
def test_whole_rows_are_the_choice():
    """For int8 weights; int4's have scales of their own within a row, and stay with groups."""
    packed = {name: make(64, 128)[0] for name, make in FORMATS.items()}
    assert isinstance(activation_rows(8, 128, packed["int8"]), WholeRows)
    assert not isinstance(activation_rows(8, 128, packed["int4"]), WholeRows)


@WITH_AMX
def test_extreme_whole_rows():
    """The largest numbers in every place of both planes: no sum leaves its 32 bits."""
    depth = 8192
    numbers, columns = np.full((PANEL, depth), 127, np.int8), np.ones(PANEL, np.float32)
    out = run(quantized(np.ones((16, depth), np.float32), whole_rows), pack_int8(numbers), columns,
              PANEL)  # fmt: skip
    np.testing.assert_allclose(out, 127 * depth, rtol=1e-6)


@inlined
def whole(x, pairs, packed, columns, tile):
    """What a block is told of all rows and one panel."""
    return (
        address(x.numbers, 0), address(pairs, 0), address(x.scales, 0), address(x.offsets, 0),
        address(x.sums, 0), address(packed, 0), address(columns, 0), address(tile, 0),
        np.int64(tile.shape[1]), np.int64(x.scales.shape[1]),
    )  # fmt: skip


@pytest.mark.parametrize("make", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("name", [name for name in PRODUCTS if runs_here(name)])
@pytest.mark.parametrize("rows", [1, 2, 4, 6])
def test_every_instruction_gives_the_same_bits(make, name, rows):
    """The largest and the smallest numbers in every place, where saturation would show."""
    block = module._row_block(rows, PRODUCTS[name])

    @kernel
    def multiply(x, pairs, packed, columns, tile):
        block(packed, whole(x, pairs, packed, columns, tile))

    packed, columns, _ = make(PANEL, 128)
    for values in (normal(rows, 128), np.ones((rows, 128), np.float32)):
        x = quantized(values)
        tile = np.full((rows, PANEL), np.nan, np.float32)
        multiply(x, paired(x.numbers), packed, columns, tile)
        np.testing.assert_array_equal(tile, run(x, packed, columns, PANEL))


def test_pairs():
    """Where the processor takes numbers in pairs, they are the same numbers."""
    x = quantized(normal(3, 128))
    assert x.pairs.shape == ((3, 128) if PAIRED else (3, 0))
    if PAIRED:
        np.testing.assert_array_equal(x.pairs, paired(x.numbers))


@pytest.mark.parametrize("shape", [(3,), (5, 7), (300, 1000)])
def test_aligned(shape):
    """An array begins with a cache line; a copy of another one has its content."""
    zeros = aligned(shape, np.int32)
    assert zeros.ctypes.data % LINE == 0
    assert zeros.shape == shape
    assert not zeros.any()
    values = normal(*shape)
    copy = realigned(values)
    assert copy.ctypes.data % LINE == 0
    np.testing.assert_array_equal(copy, values)
    copy[:] = 0
    assert values.any()


def test_extreme_bytes():
    """127 by 255 in every place: sixteen-bit sums would overflow, eight-bit ones saturate."""
    numbers = np.full((PANEL, 64), 127, np.int8)
    out = run(quantized(np.ones((1, 64), np.float32)), pack_int8(numbers),
              np.ones(PANEL, np.float32), PANEL)  # fmt: skip
    np.testing.assert_allclose(out, 127 * 64, rtol=1e-6)


def test_a_wrong_twin_would_show():
    """The control: one number of one weight changes the result beyond the tolerance."""
    packed, columns, values = int8_weights(100, 128)
    x = normal(2, 128)
    values[5, 9] += columns[5]
    expected = reference.quantized_linear(reference.quantize(x), values)
    out = run(quantized(x), packed, columns, 100)
    assert np.abs(out - expected).max() > 2e-6 * np.abs(expected).max()


DENIED = """
import ctypes, numba
from llmos_kernels import _dot
class Libc:
    def __init__(self, name): pass
    def syscall(self, *arguments): return -1
ctypes.CDLL = Libc
print(_dot.choose_dot(), "+amx" in (numba.config.CPU_FEATURES or ""))
"""


@WITH_AMX
def test_without_permission():
    """Where Linux does not give the tiles, vectors are used, and no code that was cached for tiles."""
    done = subprocess.run([sys.executable, "-c", DENIED], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "avx512-vnni False\n"), done.stderr


@WITH_AMX
def test_many_rows_go_to_the_tiles(monkeypatch):
    """The control of the tests above: tiles that multiply nothing give the offsets alone."""
    x = quantized(normal(32, 128), whole_rows)
    packed, columns, _ = int8_weights(64, 128)
    wanted = run(x, packed, columns, 64)
    monkeypatch.setattr(_tiles, "multiply", lambda *_: None)

    @kernel
    def broken(x, packed, columns, out):
        module.begin_products(x)
        count = module.multiply_rows(x, 0, 32, packed, columns, 0, address(out, 0), 64)
        module.end_products(x)
        return count

    out = np.full((32, 64), np.nan, np.float32)
    assert broken(x, packed, columns, out) == 16
    offsets = x.offsets[:, :16, 0].astype(np.float64)
    alone = (256 * offsets[0] + offsets[1]) * x.scales[:16]
    np.testing.assert_allclose(out[:16, :PANEL], alone[:, None] * columns[:PANEL], rtol=1e-5)
    assert not (out[:16, :PANEL] == wanted[:16, :PANEL]).any()
