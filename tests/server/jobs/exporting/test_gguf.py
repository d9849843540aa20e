"""What is written as GGUF is what llama.cpp's own library writes and reads."""

import json
from itertools import product

import gguf
import numpy as np
import pytest

from factory import TINY, files_of, tiny_gguf, tiny_version
from llmosd.jobs.exporting.quantize import q8_0

KINDS = {
    None: gguf.GGMLQuantizationType.F32,
    "float16": gguf.GGMLQuantizationType.F16,
    "bfloat16": gguf.GGMLQuantizationType.BF16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
}


def version_of(folder, tmp_path):
    version = tmp_path / "version"
    version.mkdir()
    tiny_version(folder, version)
    return version


@pytest.mark.parametrize(
    ("family", "dtype"),
    [*((family, None) for family in TINY), *product(("llama", "gpt2"), list(KINDS)[1:])],
)
def test_gguf_reads_it(family, dtype, tmp_path, export):
    """Tensor for tensor, and key for key, as llama.cpp's converter writes the same model."""
    source = TINY[family](tmp_path / "source")
    folder = export(version_of(source, tmp_path), "gguf", dtype=dtype, license="MIT")
    ours = gguf.GGUFReader(folder / "m.gguf")
    theirs = gguf.GGUFReader(tiny_gguf(tmp_path / "their.gguf", source, kind=KINDS[dtype]))

    expected = {tensor.name: tensor for tensor in theirs.tensors}
    assert {tensor.name for tensor in ours.tensors} == set(expected)
    for tensor in ours.tensors:
        other = expected[tensor.name]
        assert tensor.tensor_type == other.tensor_type, tensor.name
        assert list(tensor.shape) == list(other.shape)
        assert np.array_equal(tensor.data, other.data), tensor.name
    for key in theirs.fields:
        if key.startswith(("general.arch", "tokenizer.", "llama.", "qwen", "gpt2.")):
            assert ours.fields[key].contents() == theirs.fields[key].contents(), key
    assert ours.fields["general.license"].contents() == "MIT"


@pytest.mark.parametrize("family", TINY)
def test_comes_back(family, tmp_path, export, again):
    """The version that is imported from it has the same network, weights, text and defaults."""
    version = version_of(TINY[family](tmp_path / "source"), tmp_path)
    back = again(export(version, "gguf"), "gguf")
    assert (back / "model.safetensors").read_bytes() == (version / "model.safetensors").read_bytes()
    config, before = ((each / "config.json").read_text() for each in (back, version))
    assert config == before.replace('"family": "mistral"', '"family": "llama"')
    template = "chat_template.jinja"
    assert (back / template).read_bytes() == (version / template).read_bytes()
    ours, before = (json.loads((each / "generation.json").read_text()) for each in (back, version))
    ends = ours.pop("eos_token_ids")
    # Tokens that end answers in any model are found by their text in a GGUF file, too.
    assert ends[:1] == before.pop("eos_token_ids")
    assert ours == before


@pytest.mark.parametrize("rope", [
    {"rope_type": "linear", "factor": 2.0},
    {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
     "original_max_position_embeddings": 64},
    {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
])  # fmt: skip
def test_rotary_scaling_comes_back(rope, tmp_path, export, again):
    source = TINY["llama"](tmp_path / "source", rope_parameters=rope | {"rope_theta": 5e4})
    version = version_of(source, tmp_path)
    back = again(export(version, "gguf"), "gguf")
    assert (back / "config.json").read_bytes() == (version / "config.json").read_bytes()


def test_scaling_that_gguf_has_no_words_for(tmp_path, export):
    """Llama 3's with other bands: refused, not exported wrong."""
    from llmosd.errors import InvalidField

    rope = {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 2.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64, "rope_theta": 1e4,
    }  # fmt: skip
    version = version_of(TINY["llama"](tmp_path / "source", rope_parameters=rope), tmp_path)
    with pytest.raises(InvalidField, match="GGUF has no words for this network"):
        export(version, "gguf")


def test_q8_0_is_ggmls():
    """Bit for bit, halves and zeros and the smallest numbers included."""
    rng = np.random.default_rng(0)
    blocks = [
        rng.standard_normal(3200).astype(np.float32),
        np.zeros(32, np.float32),
        np.full(32, 1e-30, np.float32),
        (np.arange(32, dtype=np.float32) - 15.5) * np.float32(127 / 15.5),
        rng.standard_normal(320).astype(np.float32) * 1e4,
    ]
    values = np.concatenate(blocks)
    ours = np.frombuffer(q8_0(values), np.uint8)
    kind = gguf.GGMLQuantizationType.Q8_0
    assert np.array_equal(ours, gguf.quantize(values, kind).reshape(-1))


def test_one_file(tmp_path, export):
    folder = export(version_of(TINY["llama"](tmp_path / "source"), tmp_path), "gguf")
    assert list(files_of(folder)) == ["m.gguf"]
