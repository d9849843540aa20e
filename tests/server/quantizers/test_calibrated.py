"""Bounds that are searched, and matrices as versions keep them."""

import pytest
import torch

from llmosd.quantizers.quantizer import dequantize
from llmosd.quantizers.registry import QUANTIZERS
from llmosd.quantizers.stored import logical, read_stored, to_stored

SHAPES = [(24, 64), (7, 96), (16, 70)]


def matrix(shape, seed=0):
    """Normal weights with a few that are far out, as networks have them."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(shape, generator=generator)
    far = torch.rand(shape, generator=generator) < 0.02
    return torch.where(far, weight * 6, weight)


def importance(width, seed=1):
    """Some inputs are a hundred times as large as others."""
    return torch.rand(width, generator=torch.Generator().manual_seed(seed)).pow(4) * 100


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", QUANTIZERS)
def test_the_product_is_nearer(dtype, shape):
    """With importance, the product's error is smaller; of the weights themselves it need not be."""
    weight, counts = matrix(shape), importance(shape[1])
    errors = []
    for given in (None, counts):
        off = dequantize(QUANTIZERS[dtype].quantize(weight, given)) - weight
        errors.append(float((off.square() * counts).sum()))
    assert errors[1] < 0.95 * errors[0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("dtype", QUANTIZERS)
def test_what_is_kept_is_what_is_served(dtype, given, shape):
    """An engine that reads the kept matrix and quantizes it again finds the same numbers."""
    weight = matrix(shape)
    made = QUANTIZERS[dtype].quantize(weight, importance(shape[1]) if given else None)
    tensors = to_stored("w", made)
    kept = read_stored("w", tensors, tensors.__getitem__)
    assert torch.equal(kept, dequantize(made))
    again = QUANTIZERS[dtype].quantize(kept)
    assert torch.equal(again.numbers, made.numbers)
    assert torch.allclose(again.scales.float(), made.scales.float(), rtol=1e-6)


def test_names():
    """What a matrix is kept as counts as one weight; a name that only looks so is its own."""
    tensors = to_stored("a", QUANTIZERS["int4"].quantize(matrix((4, 32))))
    tensors |= to_stored("b", QUANTIZERS["int8"].quantize(matrix((4, 32))))
    tensors["c.scales"] = torch.ones(3)
    assert logical(tensors) == ["a", "b", "c.scales"]
    assert tensors["a"].shape == (4, 16)
    assert torch.equal(read_stored("c.scales", tensors, tensors.__getitem__), torch.ones(3))
