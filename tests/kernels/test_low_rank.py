"""Low-rank changes against their twin, and their promise: a row has the same bits in any batch."""

import numpy as np
import pytest

from llmos_kernels import reference
from llmos_kernels.low_rank import Adapters, add_low_rank, pack_change

# Features of the input, columns, and the ranks of two adapters.
SHAPES = [(1, 1, 1, 2), (16, 32, 4, 8), (37, 70, 3, 5), (576, 960, 8, 24)]


def made(features, width, *ranks, narrow=False):
    """(A, B) of each rank, Adapters' places of them in layer 1 of 2, and what lies there.

    Half of B's columns have one half of the ranks, and the rest the other.
    """
    rng = np.random.default_rng(width)
    pairs = [
        (rng.standard_normal((rank, features)), rng.standard_normal((width, rank)))
        for rank in ranks
    ]
    for _, up in pairs:
        half, rank = width // 2, up.shape[1] // 2
        up[:half, rank:] = up[half:, :rank] = 0
    kept = [pack_change(down, up, narrow=narrow) for down, up in pairs]
    places = np.zeros((len(ranks) + 1, 2, 4, 4), np.int64)
    for at, change in enumerate(kept):
        places[at + 1, 1, 2] = change.place
    return pairs, places, kept


def run(x, places, index, out, layer=1, kind=np.float32):
    lowered = np.full((len(x), places[..., 3].max()), np.nan, np.float32)
    adapters = Adapters(np.array(index, np.int32), places, np.empty(0, kind), lowered)
    out = out.copy()
    add_low_rank(x, adapters, layer, 2, out)
    return out


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("narrow", [False, True])
def test_equals_twin(shape, narrow):
    """Rows of two adapters and of none; another layer is changed by neither."""
    features, width, *_ = shape
    pairs, places, _kept = made(*shape, narrow=narrow)
    kind = np.uint16 if narrow else np.float32
    rng = np.random.default_rng(1)
    x, before = (rng.standard_normal((7, size), np.float32) for size in (features, width))
    index = [0, 1, 2, 2, 0, 1, 1]
    found = run(x, places, index, before, kind=kind)
    added = reference.low_rank(x, [pairs[at - 1] if at else None for at in index])
    scale = np.abs(added).max()
    np.testing.assert_allclose(found, before + added, atol=(0.01 if narrow else 1e-5) * scale)
    assert np.array_equal(found[[0, 4]], before[[0, 4]])
    assert np.abs(added[1:4]).max() > 0.1
    assert np.array_equal(run(x, places, index, before, layer=0, kind=kind), before)


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_alone(shape):
    """The same bits, whoever else is in the step."""
    features, width, *_ = shape
    _, places, _kept = made(*shape)
    rng = np.random.default_rng(2)
    x, before = (rng.standard_normal((33, size), np.float32) for size in (features, width))
    index = rng.integers(0, 3, 33)
    together = run(x, places, index, before)
    for row in range(33):
        one = slice(row, row + 1)
        assert np.array_equal(run(x[one], places, index[one], before[one]), together[one])
