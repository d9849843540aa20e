"""The largest values and sums of exponentials against NumPy; the nucleus against a sorted twin."""

import numpy as np
import pytest

from llmos_kernels import reference
from llmos_kernels.nucleus import draw_nucleus
from llmos_kernels.selection import CHUNK, argmax, log_sum_exp, most_likely, peak, reach, sum_exp

SIZES = (1, 2, 15, 16, 17, CHUNK - 1, CHUNK, CHUNK + 1, 1023, 1024, 1500, 50_257)
ONE, NONE = np.float32(1), np.float32(0)


def lines(size):
    """Random, with many equals, all equal, and with what a mask leaves."""
    random = np.random.default_rng(size)
    plain = random.standard_normal(size, np.float32)
    coarse = np.round(plain * 2)
    masked = np.where(random.random(size) < 0.99, np.float32(-np.inf), plain)
    masked[size // 2] = 0.5
    return [plain, coarse, np.full(size, np.float32(-3)), masked]


@pytest.mark.parametrize("size", SIZES)
def test_largest(size):
    """Peak, first largest, and the n most likely in stable order, for any size and ties."""
    for line in lines(size):
        order = np.argsort(-line, kind="stable")
        assert peak(line) == line.max()
        assert argmax(line) == order[0]
        for count in {1, 2, 7, 50, size // 2, size, size + 3}:
            assert most_likely(line, count).tolist() == order[:count].tolist()


@pytest.mark.parametrize("size", SIZES)
def test_sums(size):
    """The sum of exponentials, its terms, and its logarithm."""
    for line in lines(size):
        wide = line.astype(np.float64)
        exact = np.log(np.exp(wide - wide.max()).sum()) + wide.max()
        assert log_sum_exp(line) == pytest.approx(exact, rel=1e-6, abs=1e-6)
        top, terms = np.float32(line.max()), np.empty_like(line)
        total = sum_exp(line, top, np.float32(0.5), np.float32(0.1), terms)
        expected = np.exp((wide - wide.max()) * 0.5)
        expected[expected < 0.1] = 0
        np.testing.assert_allclose(terms, expected, rtol=1e-6, atol=1e-9)
        assert total == pytest.approx(expected.sum(), rel=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_reach(size):
    """Where a running sum passes a target; never at a term of 0, never behind the last."""
    terms = np.random.default_rng(size).random(size, np.float32)
    terms[terms < 0.3] = 0
    terms[size // 2] = 1
    sums = np.cumsum(terms.astype(np.float64))
    positive = np.flatnonzero(terms)
    for u in np.linspace(0, 0.999, 37):
        at = reach(terms, u * sums[-1])
        assert terms[at] > 0
        assert sums[at] + 1e-4 * sums[-1] > u * sums[-1]
        assert sums[at] - terms[at] <= u * sums[-1] + 1e-4 * sums[-1]
    assert reach(terms, 2 * sums[-1]) == positive[-1]


@pytest.mark.parametrize("size", [1, 2, 300, 49_152])
@pytest.mark.parametrize("width", [0.01, 1.0, 6.0])
@pytest.mark.parametrize(("top_p", "min_p"), [(0.9, 0.0), (0.5, 0.0), (0.999, 0.01), (0.7, 0.3)])
def test_nucleus(size, width, top_p, min_p):
    """The same tokens as from a sorted distribution, flat or steep, from end to end."""
    random = np.random.default_rng(size)
    logits = random.standard_normal(size, np.float32) * np.float32(width)
    kept = reference.distribution(logits, temperature=1.0, top_p=top_p, min_p=min_p)
    order = np.argsort(-logits, kind="stable")
    order = order[kept[order] > 0]
    sums = np.cumsum(kept[order])
    terms = np.empty_like(logits)
    total = sum_exp(logits, np.float32(logits.max()), ONE, NONE, terms)
    for u in [0.0, 1 - 2**-53, *random.random(60)]:
        token = draw_nucleus(terms, total, np.float32(top_p), np.float32(min_p), u)
        place = min(np.searchsorted(sums, u, side="right"), len(order) - 1)
        found = np.flatnonzero(order == token)
        assert len(found) == 1, "a token that is not kept"
        # Sums in another order of rounding may move a draw across a border, not further.
        assert abs(sums[found[0]] - sums[place]) < 1e-5 + kept[order[place]]
