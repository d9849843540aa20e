"""Versions that were quantized go out as the numbers they stand for."""

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from factory import TINY, tiny_version
from llmosd.quantizers.quantizer import dequantize
from llmosd.quantizers.registry import QUANTIZERS
from llmosd.quantizers.stored import to_stored


@pytest.fixture(params=["int8", "int4"])
def quantized(request, tmp_path):
    """A version whose matrices are quantized, and what they stand for."""
    version = tmp_path / "version"
    version.mkdir()
    tiny_version(TINY["qwen2"](tmp_path / "source"), version)
    weights = load_file(version / "model.safetensors")
    stored, expected = {}, {}
    for name, value in weights.items():
        if "_proj.weight" in name:
            matrix = QUANTIZERS[request.param].quantize(value)
            stored |= to_stored(name, matrix)
            expected[name] = dequantize(matrix)
        else:
            stored[name] = expected[name] = value
    save_file(stored, version / "model.safetensors")
    return version, expected


def test_as_float32(quantized, export):
    version, expected = quantized
    found = load_file(export(version, "hugging_face") / "model.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_as_gguf(quantized, export):
    version, expected = quantized
    reader = gguf.GGUFReader(export(version, "gguf") / "m.gguf")
    found = {tensor.name: tensor.data for tensor in reader.tensors}
    wanted = expected["model.layers.1.mlp.down_proj.weight"].numpy()
    assert np.array_equal(found["blk.1.ffn_down.weight"].reshape(wanted.shape), wanted)
