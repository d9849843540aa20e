"""What is written as on the Hub is what transformers and peft read."""

import json

import msgspec
import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file

from factory import TINY, tiny_version
from llmosd.architectures.config import ModelConfig
from llmosd.errors import InvalidField
from llmosd.jobs.exporting.hf_config import hub_config
from llmosd.store.manifest import GenerationDefaults
from tiny_training import tiny_config

IDS = torch.tensor([[5, 17, 200, 33, 8, 91]])


@pytest.mark.parametrize("family", TINY)
@torch.inference_mode()
def test_transformers_reads_it(family, tmp_path, export, again):
    """The same logits, tokenizer, template and ends; and the version it came from, once more."""
    source = TINY[family](tmp_path / "source")
    version = tmp_path / "version"
    version.mkdir()
    tiny_version(source, version)
    folder = export(version, "hugging_face")

    models = [
        transformers.AutoModelForCausalLM.from_pretrained(each, dtype=torch.float32).eval()
        for each in (source, folder)
    ]
    assert type(models[0]) is type(models[1])
    assert torch.equal(models[0](IDS).logits, models[1](IDS).logits)
    assert models[1].generation_config.eos_token_id == models[0].config.eos_token_id
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    turns = [{"role": "user", "content": "the tin"}]
    assert tokenizer("the in an").input_ids == bare_tokenizer(source)("the in an").input_ids
    rendered = tokenizer.apply_chat_template(turns, tokenize=False)
    assert rendered == "<|im_start|>user\nthe tin<|im_end|>\n"

    back = again(folder, "hugging_face")
    for name in ("config.json", "model.safetensors", "tokenizer.json", "generation.json"):
        assert (back / name).read_bytes() == (version / name).read_bytes(), name


def bare_tokenizer(folder):
    return transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrower(tmp_path, export, dtype):
    version = tmp_path / "version"
    version.mkdir()
    tiny_version(TINY["llama"](tmp_path / "source"), version)
    wide = load_file(version / "model.safetensors")
    folder = export(version, "hugging_face", dtype=dtype)
    narrow = load_file(folder / "model.safetensors")
    assert all(torch.equal(wide[name].to(getattr(torch, dtype)), narrow[name]) for name in wide)
    assert json.loads((folder / "config.json").read_text())["dtype"] == dtype
    with pytest.raises(InvalidField, match=r"dtype.*GGUF"):
        export(version, "hugging_face", dtype="q8_0")


ROPES = [
    {"kind": "linear", "factor": 2.0},
    {"kind": "llama3", "factor": 8.0, "original_context": 64},
    {"kind": "yarn", "factor": 4.0, "original_context": 32, "attention_factor": 1.1},
]


@pytest.mark.parametrize("changes", [
    {}, {"qkv_bias": True}, {"qk_norm": True}, {"sliding_window": 16},
    {"qkv_bias": True, "output_bias": True, "mlp_bias": True},
    *({"rope": rope} for rope in ROPES),
])  # fmt: skip
def test_what_the_hub_has_words_for(changes):
    """Networks that were made here, in whichever class of transformers is theirs."""
    from llmosd.architectures.config import RopeConfig

    changes = dict(changes)
    if "rope" in changes:
        changes["rope"] = RopeConfig(**changes["rope"])
    assert hub_config(tiny_config(**changes), GenerationDefaults()) is not None


@pytest.mark.parametrize("changes", [
    {"qkv_bias": True, "mlp_bias": True}, {"head": "classify", "labels": ("a", "b")},
    {"output_bias": True}, {"qk_norm": True, "mlp_bias": True},
])  # fmt: skip
def test_what_it_has_none_for(changes):
    assert hub_config(tiny_config(**changes), GenerationDefaults()) is None


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
@torch.inference_mode()
def test_an_adapter_is_pefts(tmp_path, export):
    """peft loads it beside the base, and the two say what the merged weights say."""
    source = TINY["llama"](tmp_path / "source")
    version = tmp_path / "version"
    version.mkdir()
    tiny_version(source, version)
    base = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    made = peft.get_peft_model(
        base, peft.LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "down_proj"])
    )
    generator = torch.Generator().manual_seed(0)
    for name, parameter in made.named_parameters():
        if "lora_" in name:
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    expected = made.eval()(IDS).logits
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    made.save_pretrained(adapter)
    as_adapter(version, adapter)

    folder = export(version, "hugging_face")
    values = json.loads((folder / "adapter_config.json").read_text())
    assert values["base_model_name_or_path"] == "models/base/versions/1"
    fresh = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    found = peft.PeftModel.from_pretrained(fresh, folder).eval()(IDS).logits
    assert torch.equal(found, expected)
    for form, field, more in (
        ("gguf", "format", {}),
        ("hugging_face", "dtype", {"dtype": "float16"}),
    ):
        with pytest.raises(InvalidField, match=f"{field}.*adapter"):
            export(version, form, **more)


def as_adapter(version, adapter):
    """Make a version folder one of an adapter."""
    manifest = json.loads((version / "manifest.json").read_text())
    (version / "model.safetensors").unlink()
    del manifest["files"]["model.safetensors"]
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (version / name).write_bytes((adapter / name).read_bytes())
        manifest["files"][name] = {"bytes": 1, "sha256": ""}
    manifest["adapter_base"] = "models/base/versions/1"
    (version / "manifest.json").write_text(json.dumps(manifest))
    assert msgspec.json.decode((version / "config.json").read_bytes(), type=ModelConfig)
