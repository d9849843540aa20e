"""Adapters of the peft library, imported: what they add is what peft adds."""

import json

import msgspec
import numpy as np
import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import factory
from llmosd.architectures.config import ModelConfig
from llmosd.engine.adapters import with_adapter
from llmosd.errors import DataCorrupt, InvalidModelFile
from llmosd.jobs.optimizing.optimize import optimize
from llmosd.jobs.optimizing.specs import Merge, OptimizeSpec
from llmosd.store.manifest import decode_manifest

BASE = "models/base/versions/1"

# peft 0.21 asks transformers 5.24 by an older name.
pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated.*:FutureWarning")


def peft_model(folder, **options):
    """A transformers model of `folder` under an adapter that does something."""
    oracle = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    values = {"r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM"} | options
    model = peft.get_peft_model(oracle, peft.LoraConfig(**values))
    generator = torch.Generator().manual_seed(1)
    for name, each in model.named_parameters():
        if "lora_B" in name:
            each.data.normal_(0, 0.3, generator=generator)
    return model


@pytest.fixture
def base(tmp_path):
    """A base's folder as the Hub has it, and as the store has it."""
    return imported(factory.tiny_llama_folder(tmp_path / "hub"), tmp_path)


def imported(hub, tmp_path):
    (tmp_path / "base").mkdir()
    factory.tiny_version(hub, tmp_path / "base")
    return hub, tmp_path / "base"


@pytest.fixture
def adapter(base, tmp_path):
    """The files that peft saves."""
    peft_model(base[0], target_modules=["q_proj", "v_proj"]).save_pretrained(tmp_path / "adapter")
    (tmp_path / "adapter" / "README.md").unlink()
    return tmp_path / "adapter"


def take(adapter, base, output, **changes):
    output.mkdir(exist_ok=True)
    values = {"base": BASE, "base_dir": str(base)} | changes
    return factory.tiny_version(adapter, output, **values)


CASES = {
    "some products": ("llama", {"target_modules": ["q_proj", "down_proj"]}),
    "rank-stabilized": ("llama", {"target_modules": ["v_proj"], "use_rslora": True}),
    "one layer": ("llama", {"target_modules": ["q_proj"], "layers_to_transform": [1]}),
    "all linear": ("llama", {"target_modules": "all-linear"}),
    "by a pattern": ("llama", {"target_modules": r".*\.0\..*(up|o)_proj"}),
    "conv1d": ("gpt2", {"target_modules": ["c_attn", "c_fc"], "fan_in_fan_out": True}),
}


@pytest.mark.parametrize(("family", "options"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_like_pefts(tmp_path, family, options, dtype):
    """Every weight, as served and as merged, is that of peft's merge_and_unload."""
    hub, base = imported(factory.TINY[family](tmp_path / "hub"), tmp_path)
    model = peft_model(hub, **options).to(getattr(torch, dtype))
    model.save_pretrained(tmp_path / "adapter")
    (tmp_path / "adapter" / "README.md").unlink()
    result = take(tmp_path / "adapter", base, tmp_path / "out")
    assert result.manifest.adapter_base == BASE
    assert (result.manifest.dtype, result.manifest.chat) == (dtype, True)
    wanted = wanted_weights(model, result)
    plain = load_file(base / "model.safetensors")
    served = with_adapter(tmp_path / "out", plain.__getitem__)
    merged = load_file(merge(tmp_path, base, result) / "model.safetensors")
    changed = 0
    for name, weight in plain.items():
        torch.testing.assert_close(served(name), wanted[name], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(merged[name], wanted[name], atol=1e-5, rtol=1e-5)
        changed += not torch.equal(weight, wanted[name])
    assert changed == len(load_file(tmp_path / "out" / "adapter_model.safetensors")) / 2 > 0


def wanted_weights(model, result):
    """peft's own sum, in float32, by the store's names."""
    wide = model.to(torch.float32)
    reference = transformers.AutoModelForCausalLM.from_pretrained(
        wide.peft_config["default"].base_model_name_or_path, dtype=torch.float32
    )
    # The base as it is kept, whatever the adapter's type was.
    own = dict(reference.named_parameters())
    for name, each in wide.get_base_model().named_parameters():
        if "lora_" not in name:
            each.data.copy_(own[name.replace(".base_layer", "")].data)
    weights = wide.merge_and_unload().state_dict()
    conv = ("attn.weight", "proj.weight", "fc.weight")
    turned = result.manifest.family == "gpt2"
    return {n: w.T if turned and n.endswith(conv) else w for n, w in weights.items()}


def merge(tmp_path, base, result):
    output = tmp_path / "merged"
    output.mkdir()
    spec = OptimizeSpec(
        source=str(tmp_path / "out"), name="models/a/versions/1", digest=result.digest,
        base=str(base), output=str(output), method=Merge(), threads=1,
    )  # fmt: skip
    optimize(spec, factory.Silent())
    return output


def test_the_folder(base, adapter, tmp_path):
    """Tokenizer, defaults and template are the base's; a template of the adapter's own is kept."""
    take(adapter, base[1], tmp_path / "out")
    for name in ("tokenizer.json", "generation.json", "chat_template.jinja", "config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (base[1] / name).read_bytes(), name
    manifest = decode_manifest((tmp_path / "out" / "manifest.json").read_bytes())
    assert set(manifest.files) == {p.name for p in (tmp_path / "out").iterdir()} - {"manifest.json"}
    assert f"An adapter to {BASE}" in (tmp_path / "out" / "card.md").read_text()
    (adapter / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    take(adapter, base[1], tmp_path / "other")
    assert (tmp_path / "other" / "chat_template.jinja").read_text().startswith("{{ messages[0]")


def test_a_folder_without_its_base(adapter, refused):
    refused(adapter, InvalidModelFile, "adapter_config.json is an adapter's: name the version")


def test_missing_files(base, adapter, refused):
    asked = {"base": BASE, "base_dir": str(base[1])}
    refused(base[0], InvalidModelFile, "adapter_config.json is missing", **asked)
    (adapter / "adapter_model.safetensors").unlink()
    refused(adapter, InvalidModelFile, "adapter_model.safetensors is missing", **asked)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "LOHA"}, "peft_type is 'LOHA'; only LORA is known"),
        ({"peft_type": None}, "peft_type is missing"),
        ({"use_dora": True}, "use_dora is not supported"),
        ({"rank_pattern": {"q_proj": 2}}, "rank_pattern is not supported"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save is not supported"),
        ({"bias": "all"}, "bias must be none"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights changed the base"),
        ({"r": 0}, "r is 0; it must be from 1 to 65536"),
        ({"r": "4"}, "r is not a whole number"),
        ({"r": 5}, r"has shape \[4, 64\], not \[5, 64\]: is this its base"),
        ({"lora_alpha": None}, "lora_alpha is missing"),
        ({"use_rslora": "yes"}, "use_rslora is neither true nor false"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_served(base, adapter, refused, change, message):
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    refused(adapter, InvalidModelFile, message, base=BASE, base_dir=str(base[1]))


PREFIX = "base_model.model."
WEIGHTS = {
    "half": (lambda t: dict(list(t.items())[1:]), "half of .* is missing"),
    "nothing": (lambda t: {}, "there is no weight in it"),
    "no product": (
        lambda t: t | {f"{PREFIX}model.layers.9.self_attn.q_proj.lora_A.weight": torch.ones(4, 64)},
        "changes nothing of the base",
    ),
    "a norm": (
        lambda t: t | {f"{PREFIX}model.norm.lora_A.weight": torch.ones(4, 64)},
        "changes nothing of the base",
    ),
    "a head": (lambda t: t | {f"{PREFIX}score.weight": torch.ones(2, 64)}, "changes nothing"),
    "another shape": (lambda t: {n: w[..., :3].clone() for n, w in t.items()}, "has shape"),
}


@pytest.mark.parametrize(("change", "message"), WEIGHTS.values(), ids=WEIGHTS)
def test_weights_that_do_not_fit(base, adapter, refused, change, message):
    file = adapter / "adapter_model.safetensors"
    save_file(change(load_file(file)), file)
    refused(adapter, InvalidModelFile, message, base=BASE, base_dir=str(base[1]))


def test_numbers_that_are_not_finite(base, adapter, refused):
    file = adapter / "adapter_model.safetensors"
    tensors = load_file(file)
    next(iter(tensors.values()))[0, 0] = np.nan
    save_file(tensors, file)
    refused(adapter, DataCorrupt, "NaN", base=BASE, base_dir=str(base[1]))


def test_a_base_that_classifies(base, adapter, refused):
    file = base[1] / "config.json"
    config = msgspec.json.decode(file.read_bytes(), type=ModelConfig)
    labelled = msgspec.structs.replace(config, head="classify", labels=("a", "b"))
    file.write_bytes(msgspec.json.encode(labelled))
    refused(adapter, InvalidModelFile, "is a classifier", base=BASE, base_dir=str(base[1]))
