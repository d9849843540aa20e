"""Activations and weights of few bits against their twins, on every path a processor may take."""

import subprocess
import sys

import numpy as np
import pytest

from llmos_kernels import _products_amx, reference
from llmos_kernels import quantized_linear as module
from llmos_kernels._dot import choose_dot
from llmos_kernels._jit import address, inlined, kernel
from llmos_kernels.quantize import HALF, PAIRED, quantize_row, quantized_rows
from llmos_kernels.quantized_linear import PANEL, PRODUCTS, pack_int4, pack_int8, quantized_linear

SHAPES = [(576, 576), (100, 128), (3, 64), (33, 192)]
ROWS = [1, 2, 3, 5, 6, 13, 32, 45, 70]


@kernel
def quantize_all(x, out):
    for row in range(x.shape[0]):
        quantize_row(x[row], row, out)


def quantized(x):
    out = quantized_rows(*x.shape)
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


def paired(numbers):
    """Every four numbers in the order 0, 2, 1, 3, in 16 bits."""
    return (
        numbers.reshape(len(numbers), -1, 4)[..., [0, 2, 1, 3]].reshape(numbers.shape).astype("i2")
    )


def runs_here(name):
    """Every processor that has VNNI has AVX2, too, and those with AMX have VNNI."""
    order = ["plain", "avx2", "avx512-vnni", "amx"]
    return order.index(name) <= order.index(choose_dot())


def run(x, packed, columns, width):
    out = np.full((len(x.numbers), width), np.nan, np.float32)
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


@inlined
def whole(x, pairs, packed, columns, tile):
    """What a block is told of all rows and one panel."""
    return (
        address(x.numbers, 0), address(pairs, 0), address(x.scales, 0), address(x.offsets, 0),
        address(x.sums, 0), address(packed, 0), address(columns, 0), address(tile, 0),
        x.scales.shape[1],
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


@pytest.mark.skipif(choose_dot() != "amx", reason="the processor has no AMX, or LLMOS_DOT is set")
def test_without_permission():
    """Where Linux does not give the tiles, vectors are used, and no code that was cached for tiles."""
    done = subprocess.run([sys.executable, "-c", DENIED], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "avx512-vnni False\n"), done.stderr


@pytest.mark.skipif(choose_dot() != "amx", reason="the processor has no AMX, or LLMOS_DOT is set")
def test_many_rows_go_to_the_tiles(monkeypatch):
    """The control of the tests above: a block that adds nothing up gives other bits."""
    x = normal(32, 128)
    packed, columns, _ = int8_weights(64, 128)
    wanted = run(quantized(x), packed, columns, 64)
    monkeypatch.setattr(_products_amx._Tiles, "_add_up", lambda *_: None)

    @kernel
    def broken(x, packed, columns, tile):
        return block(packed, whole(x, x.pairs, packed, columns, tile), len(x.numbers))

    block = module._matrix_block(PRODUCTS["amx"])
    tile = np.full((32, PANEL), np.nan, np.float32)
    assert broken(quantized(x), packed, columns, tile) == 32
    assert not (tile == wanted[:, :PANEL]).any()
