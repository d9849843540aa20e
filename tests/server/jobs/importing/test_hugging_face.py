"""Folders that transformers wrote, and the same models as GGUF, against transformers' weights."""

import json

import gguf
import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

import factory
from llmosd.architectures.config import ModelConfig, RopeConfig
from llmosd.architectures.families.table import expected_shapes, parameter_count
from llmosd.jobs.importing.convert import import_model
from llmosd.jobs.importing.gguf_config import llama3_factors
from llmosd.jobs.messages import ImportSpec
from llmosd.store.manifest import GenerationDefaults


def config_of(version):
    return msgspec.json.decode((version / "config.json").read_bytes(), type=ModelConfig)


def reference(folder):
    """transformers' weights, with GPT-2's Conv1D turned to [outputs, inputs]."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    weights = model.state_dict()
    if model.config.tie_word_embeddings:
        del weights["lm_head.weight"]
    return {
        name: w.T if name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")) else w
        for name, w in weights.items()
    }


def check_equal(ours, theirs):
    assert set(ours) == set(theirs)
    for name, weight in theirs.items():
        assert ours[name].dtype == weight.dtype, name
        assert torch.equal(ours[name], weight), name


@pytest.fixture
def version(tmp_path):
    (tmp_path / "version").mkdir()
    return tmp_path / "version"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("family", factory.TINY)
def test_a_folder_comes_through_bit_for_bit(tmp_path, version, family, dtype):
    folder = factory.TINY[family](tmp_path / "hf", dtype=dtype)
    result = factory.tiny_version(folder, version)
    weights = load_file(version / "model.safetensors")
    check_equal(weights, reference(folder))
    config = config_of(version)
    assert {name: tuple(w.shape) for name, w in weights.items()} == expected_shapes(config)
    manifest = result.manifest
    assert (manifest.family, config.family) == (family, family)
    assert f"torch.{manifest.dtype}" == str(dtype)
    assert manifest.parameter_count == parameter_count(config)
    assert manifest.parameter_count == sum(w.numel() for w in weights.values())
    assert set(manifest.lineage) == {"format", *factory.files_of(folder)}


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("llama", {"qkv_bias": False, "qk_norm": False, "head_dim": 16, "tie_embeddings": False}),
        ("mistral", {"sliding_window": 0, "tie_embeddings": False, "norm_eps": 1e-6}),
        ("qwen2", {"qkv_bias": True, "output_bias": False, "tie_embeddings": True}),
        ("qwen3", {"qk_norm": True, "head_dim": 32, "qkv_bias": False}),
        ("gpt2", {"architecture": "gpt2", "intermediate_size": 256, "activation": "gelu_new"}),
    ],
)
def test_switches_of_each_family(tmp_path, version, family, expected):
    factory.tiny_version(factory.TINY[family](tmp_path / "hf"), version)
    config = config_of(version)
    assert {key: getattr(config, key) for key in expected} == expected
    assert (config.num_layers, config.num_heads, config.context_length) == (2, 4, 256)
    assert config.num_kv_heads == (4 if family == "gpt2" else 2)


@pytest.mark.parametrize("family", factory.TINY)
def test_the_same_model_as_gguf_gives_the_same_weights(tmp_path, version, family):
    folder = factory.TINY[family](tmp_path / "hf")
    path = factory.tiny_gguf(tmp_path / "m.gguf", folder)
    spec = ImportSpec(files={"m.gguf": str(path)}, format="gguf", output=str(version))
    import_model(spec, factory.Silent())
    check_equal(load_file(version / "model.safetensors"), reference(folder))
    from_gguf = config_of(version)
    second = tmp_path / "second"
    second.mkdir()
    factory.tiny_version(folder, second)
    family_in_gguf = "llama" if family == "mistral" else family
    assert from_gguf == msgspec.structs.replace(config_of(second), family=family_in_gguf)


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q5_1"])
def test_gguf_types_as_transformers_reads_them(tmp_path, version, kind):
    folder = factory.tiny_llama_folder(tmp_path / "hf")
    path = factory.tiny_gguf(tmp_path / "m.gguf", folder, kind=gguf.GGMLQuantizationType[kind])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transformers.modeling_utils.is_accelerate_available", lambda: True)
        theirs = AutoModelForCausalLM.from_pretrained(
            tmp_path, gguf_file="m.gguf", dtype=torch.float32
        ).state_dict()
    spec = ImportSpec(files={"m.gguf": str(path)}, format="gguf", output=str(version))
    result = import_model(spec, factory.Silent())
    weights = load_file(version / "model.safetensors")
    assert result.manifest.dtype == {"F16": "float16", "BF16": "bfloat16"}.get(kind, "float32")
    assert weights["model.norm.weight"].dtype == torch.float32
    check_equal({name: w.float() for name, w in weights.items()}, theirs)


@pytest.mark.parametrize("target", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_dtype_converts_as_torch_does(tmp_path, version, dtype, target):
    folder = factory.tiny_llama_folder(tmp_path / "hf", dtype=dtype)
    result = factory.tiny_version(folder, version, dtype=target)
    assert result.manifest.dtype == target
    expected = {n: w.to(getattr(torch, target)) for n, w in reference(folder).items()}
    check_equal(load_file(version / "model.safetensors"), expected)


def test_shards_and_their_index(tmp_path, version):
    folder = factory.tiny_llama_folder(tmp_path / "hf")
    model = AutoModelForCausalLM.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="100KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    factory.tiny_version(folder, version)
    check_equal(load_file(version / "model.safetensors"), model.state_dict())


def test_gpt2_as_on_the_hub_without_prefix_and_with_masks(tmp_path, version):
    from safetensors.torch import save_file

    folder = factory.tiny_gpt2(tmp_path / "hf")
    expected = reference(folder)
    old = load_file(folder / "model.safetensors")
    hub = {name.removeprefix("transformer."): w for name, w in old.items()}
    hub["h.0.attn.bias"] = torch.ones(1, 1, 4, 4, dtype=torch.uint8)
    hub["h.1.attn.masked_bias"] = torch.tensor(-1e4)
    save_file(hub, folder / "model.safetensors")
    factory.tiny_version(folder, version)
    check_equal(load_file(version / "model.safetensors"), expected)


ROPES = [
    ({"rope_type": "default", "rope_theta": 5e5}, RopeConfig(theta=5e5)),
    (
        {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0},
        RopeConfig(kind="linear", factor=2.0),
    ),
    (
        {
            "rope_type": "llama3",
            "rope_theta": 5e5,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
        RopeConfig(
            theta=5e5,
            kind="llama3",
            factor=8.0,
            original_context=64,
            low_freq_factor=1.0,
            high_freq_factor=4.0,
        ),
    ),
    (
        {
            "rope_type": "yarn",
            "rope_theta": 1e6,
            "factor": 4.0,
            "original_max_position_embeddings": 64,
            "beta_fast": 16.0,
        },
        RopeConfig(theta=1e6, kind="yarn", factor=4.0, original_context=64, beta_fast=16.0),
    ),
]


@pytest.mark.parametrize("old", [False, True], ids=["transformers-5", "before"])
@pytest.mark.parametrize(("given", "expected"), ROPES, ids=[r[1].kind for r in ROPES])
def test_rotary_scaling_in_both_spellings(tmp_path, version, given, expected, old):
    folder = factory.tiny_llama_folder(tmp_path / "hf", rope_parameters=given)
    if old:
        config = json.loads((folder / "config.json").read_text())
        rope = config.pop("rope_parameters")
        config["rope_theta"] = rope.pop("rope_theta")
        config["rope_scaling"] = rope | {"type": rope["rope_type"]}
        if rope["rope_type"] == "default":
            config["rope_scaling"] = None
        (folder / "config.json").write_text(json.dumps(config))
    factory.tiny_version(folder, version)
    assert config_of(version).rope == expected


def test_llama3_factors_are_transformers():
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    given = ROPES[2][0] | {"original_max_position_embeddings": 8192}
    config = LlamaConfig(hidden_size=2048, num_attention_heads=32, rope_parameters=given)
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    plain = 5e5 ** (-torch.arange(0, 64, 2, dtype=torch.float64) / 64)
    rope = RopeConfig(5e5, "llama3", 8.0, 8192, 1.0, 4.0)
    ours = torch.tensor(llama3_factors(rope, 64), dtype=torch.float64)
    assert torch.allclose(plain / scaled.double(), ours, rtol=1e-5)


def test_llama3_scaling_is_recovered_from_gguf(tmp_path, version):
    folder = factory.tiny_llama_folder(tmp_path / "hf", hidden_size=256, rope_theta=5e5)
    rope = RopeConfig(5e5, "llama3", 32.0, 8192, 1.0, 4.0)
    factors = np.array(llama3_factors(rope, 64), np.float32)
    path = factory.tiny_gguf(tmp_path / "m.gguf", folder, extra={"rope_freqs.weight": factors})
    spec = ImportSpec(files={"m.gguf": str(path)}, format="gguf", output=str(version))
    import_model(spec, factory.Silent())
    assert config_of(version).rope == rope


def test_generation_defaults_and_template(tmp_path, version):
    folder = factory.tiny_llama_folder(tmp_path / "hf")
    (folder / "generation_config.json").write_text(
        json.dumps(
            {
                "do_sample": True,
                "temperature": 0.6,
                "top_k": 20,
                "top_p": 0.95,
                "repetition_penalty": 1.1,
                "eos_token_id": [278, 276],
            }
        )
    )
    result = factory.tiny_version(folder, version)
    assert result.manifest.chat
    assert (version / "chat_template.jinja").read_text() == factory.CHATML
    assert msgspec.json.decode(
        (version / "generation.json").read_bytes(), type=GenerationDefaults
    ) == GenerationDefaults(
        bos_token="<|endoftext|>",
        eos_token="<|im_end|>",
        bos_token_id=276,
        eos_token_ids=[278, 276],
        temperature=0.6,
        top_k=20,
        top_p=0.95,
        repetition_penalty=1.1,
    )


def test_a_template_in_tokenizer_config_and_no_sampling_for_the_greedy(tmp_path, version):
    folder = factory.tiny_llama_folder(tmp_path / "hf")
    (folder / "chat_template.jinja").unlink()
    templates = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "yes"}]
    tokens = {"eos_token": {"content": "<|im_end|>"}, "chat_template": templates}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokens))
    (folder / "generation_config.json").write_text(json.dumps({"temperature": 0.6}))
    factory.tiny_version(folder, version)
    assert (version / "chat_template.jinja").read_text() == "yes"
    defaults = json.loads((version / "generation.json").read_text())
    assert (defaults["temperature"], defaults["eos_token_ids"]) == (None, [278])


def test_the_tokenizer_says_whether_it_adds_bos_and_never_cuts(tmp_path, version):
    from tokenizers.processors import TemplateProcessing

    folder = factory.tiny_llama_folder(tmp_path / "hf")
    tokenizer = factory.tiny_tokenizer()
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=10)
    tokenizer.post_processor = TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 276)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    factory.tiny_version(folder, version)
    assert json.loads((version / "generation.json").read_text())["add_bos"]
    ours = Tokenizer.from_file(str(version / "tokenizer.json"))
    assert ours.encode("the and the").ids[0] == 276
    assert ours.decode(ours.encode("the and the").ids) == "the and the"
