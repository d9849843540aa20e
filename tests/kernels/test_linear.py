"""linear against its twin, and its promise: a row has the same bits in any batch."""

import numpy as np
import pytest

from llmos_kernels import reference
from llmos_kernels.linear import linear, pack_weight

SHAPES = [(1, 1), (5, 3), (32, 64), (33, 17), (96, 100), (300, 576)]
NO_BIAS = np.empty(0, np.float32)


def bfloat16(values):
    """Nearest bfloat16, as bits and as the float32 it stands for."""
    bits = ((values.view(np.uint32) + 0x8000) >> 16).astype(np.uint16)
    return bits, (bits.astype(np.uint32) << 16).view(np.float32)


def run(x, packed, width, bias=NO_BIAS):
    out = np.full((len(x), width), np.nan, np.float32)
    linear(x, packed, bias, out)
    return out


@pytest.mark.parametrize(("width", "depth"), SHAPES)
@pytest.mark.parametrize("rows", [1, 2, 3, 7, 12, 13, 30])
def test_equals_twin(width, depth, rows):
    """Float32 weights, with and without bias."""
    rng = np.random.default_rng(width + rows)
    weight, x = (rng.standard_normal((n, depth), np.float32) for n in (width, rows))
    bias = rng.standard_normal(width, np.float32)
    packed = pack_weight(weight)

    np.testing.assert_allclose(run(x, packed, width), reference.linear(x, weight, None), atol=1e-4)
    np.testing.assert_allclose(
        run(x, packed, width, bias), reference.linear(x, weight, bias), atol=1e-4
    )


@pytest.mark.parametrize(("width", "depth"), SHAPES)
def test_bfloat16_weights(width, depth):
    """Weights kept as bfloat16 multiply as the float32 numbers they stand for."""
    rng = np.random.default_rng(width)
    bits, values = bfloat16(rng.standard_normal((width, depth), np.float32))
    x = rng.standard_normal((5, depth), np.float32)

    out = run(x, pack_weight(bits), width)

    np.testing.assert_array_equal(out, run(x, pack_weight(values), width))


@pytest.mark.parametrize(("width", "depth"), SHAPES)
def test_rows_do_not_depend_on_the_batch(width, depth):
    """Any subset of rows has the bits it has among all."""
    rng = np.random.default_rng(depth)
    weight, x = (rng.standard_normal((n, depth), np.float32) for n in (width, 64))
    packed = pack_weight(weight)
    whole = run(x, packed, width)
    for rows in range(1, 64):
        chosen = rng.permutation(64)[:rows]
        np.testing.assert_array_equal(run(x[chosen].copy(), packed, width), whole[chosen])


def test_blas_would_not_pass():
    """The control: NumPy's own product fails the test above on this machine, or is invariant."""
    rng = np.random.default_rng(0)
    weight, x = (rng.standard_normal((n, 1536), np.float32) for n in (576, 64))
    whole = x @ weight.T
    differing = [
        rows for rows in range(1, 64) if not np.array_equal(x[:rows] @ weight.T, whole[:rows])
    ]
    if not differing:
        pytest.skip("this machine's BLAS happens to be invariant for these shapes")
    assert differing
