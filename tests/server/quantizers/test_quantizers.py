"""Int8 and int4 against their definitions: error bounds, exact cases, and Q4_1's own bytes."""

import gguf
import numpy as np
import pytest
import torch

from llmosd.quantizers.int4 import GROUP
from llmosd.quantizers.quantizer import dequantize
from llmosd.quantizers.registry import QUANTIZERS


def matrix(rows=24, width=160, seed=0):
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


def test_int8_is_within_half_a_step():
    """Rounding moves a weight by half a step of its row at most."""
    weight = matrix()
    quantized = QUANTIZERS["int8"].quantize(weight)
    assert quantized.numbers.dtype == torch.int8
    assert quantized.scales.shape == (24, 1)
    error = (dequantize(quantized) - weight).abs()
    assert (error <= quantized.scales * 0.5001).all()
    assert error.max() > quantized.scales.min() * 0.4


@pytest.mark.parametrize("width", [GROUP, 5 * GROUP, 5 * GROUP + 7, 3])
def test_int4_is_within_half_a_step(width):
    """So do groups of 32, the short last one included, but for float16's scale and minimum."""
    weight = matrix(width=width)
    quantized = QUANTIZERS["int4"].quantize(weight)
    assert quantized.numbers.dtype == torch.uint8
    assert int(quantized.numbers.max()) == 15
    groups = -(-width // GROUP)
    assert quantized.scales.shape == quantized.minimums.shape == (24, groups)
    error = (dequantize(quantized) - weight).abs()
    step = quantized.scales.float().repeat_interleave(GROUP, 1)[:, :width]
    # The minimum and 15 times the scale are each off by half a bit of float16 at most.
    slack = weight.abs().max() * 2**-10
    assert (error <= step * 0.5 + slack).all()


@pytest.mark.parametrize("name", QUANTIZERS)
@pytest.mark.parametrize("value", [0.0, 0.75, -2.0])
def test_constant_rows_are_exact(name, value):
    """A row without any spread comes back as it was."""
    weight = torch.full((3, 64), value)
    torch.testing.assert_close(dequantize(QUANTIZERS[name].quantize(weight)), weight)


def test_weights_past_float16_stay_finite():
    """An int4 scale is float16; what it cannot hold is clamped, never infinite."""
    weight = matrix() * 1e6
    assert dequantize(QUANTIZERS["int4"].quantize(weight)).isfinite().all()


def test_q4_1_files_are_reproduced():
    """What gguf's own Q4_1 stored is kept to the last bit of float16's scale.

    Their groups span all 16 numbers, so ours find the same minimum and the same scale.
    """
    kind = gguf.GGMLQuantizationType.Q4_1
    stored = gguf.dequantize(gguf.quantize(matrix().numpy(), kind), kind)
    quantized = QUANTIZERS["int4"].quantize(torch.from_numpy(np.array(stored)))
    again = dequantize(quantized)
    step = quantized.scales.float().repeat_interleave(GROUP, 1)
    assert ((again - torch.from_numpy(stored)).abs() <= step * 2**-6).all()
    assert (again - matrix()).abs().max() > step.min() * 0.3  # the control: not exact for others
