"""Metadata as ModelConfig: rotary scaling of each kind, head sizes, and what is refused."""

import gguf
import pytest

import factory
from llmosd.architectures.config import RopeConfig
from llmosd.errors import InvalidModelFile
from llmosd.jobs.importing.gguf_config import gguf_config
from llmosd.jobs.importing.gguf_reader import GgufFile

F32, U32, TEXT, LIST = (
    gguf.GGUFValueType.FLOAT32,
    gguf.GGUFValueType.UINT32,
    gguf.GGUFValueType.STRING,
    gguf.GGUFValueType.ARRAY,
)


@pytest.fixture
def read(tmp_path):
    folder = factory.tiny_llama_folder(tmp_path / "hf")

    def config(*metadata):
        entries = [(f"llama.{key}", kind, value) for key, kind, value in metadata]
        path = factory.tiny_gguf(tmp_path / "m.gguf", folder, metadata=entries)
        with GgufFile(str(path)) as file:
            return gguf_config(file)

    return config


def test_no_scaling(read):
    assert read().rope == read(("rope.scaling.type", TEXT, "none")).rope == RopeConfig()


def test_linear_in_both_spellings(read):
    expected = RopeConfig(kind="linear", factor=2.5)
    factor = ("rope.scaling.factor", F32, 2.5)
    assert read(("rope.scaling.type", TEXT, "linear"), factor).rope == expected
    assert read(("rope.scale_linear", F32, 2.5)).rope == expected


def test_yarn(read):
    given = (
        ("rope.scaling.type", TEXT, "yarn"),
        ("rope.scaling.factor", F32, 4.0),
        ("rope.scaling.original_context_length", U32, 64),
    )
    assert read(*given).rope == RopeConfig(kind="yarn", factor=4.0, original_context=64)
    scaled = read(*given, ("rope.scaling.attn_factor", F32, 0.5)).rope
    # ggml multiplies 0.1 ln 4 + 1 = 1.1386294 by it.
    assert scaled.attention_factor == pytest.approx(0.5 * 1.1386294, rel=1e-6)


def test_numbers_are_the_decimals_that_were_written(read):
    assert read().norm_eps == 1e-6
    assert read(("rope.scale_linear", F32, 1.1)).rope.factor == 1.1


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (("rope.scaling.type", TEXT, "longrope"), "rotary scaling 'longrope' is not supported"),
        (("rope.scaling.type", TEXT, "yarn"), "llama.rope.scaling.factor is missing"),
        (("rope.dimension_count", U32, 8), "a part of each head is not supported"),
        (("rope.scale_linear", F32, float("nan")), "rope.factor is nan"),
        (("rope.scale_linear", TEXT, "2"), "llama.rope.scale_linear is not a number"),
        (("attention.sliding_window", LIST, [1, 2]), "sliding_window is not one whole number"),
        (("attention.sliding_window", U32, 2**31), "sliding_window is 2147483648"),
    ],
)
def test_what_is_not_supported_is_named(read, entry, message):
    with pytest.raises(InvalidModelFile, match=message):
        read(entry)


def test_a_sliding_window_is_kept(read):
    assert read(("attention.sliding_window", U32, 128)).sliding_window == 128
