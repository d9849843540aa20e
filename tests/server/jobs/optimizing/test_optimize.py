"""Versions made of others: their weights by hand, and what they say afterwards."""

import hashlib
import json
from datetime import UTC, datetime

import msgspec
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.table import parameter_count
from llmosd.architectures.peft_files import peft_config
from llmosd.architectures.trainable.lora import add_adapters, to_peft
from llmosd.architectures.trainable.network import linear_names
from llmosd.architectures.trainable.registry import from_scratch, from_weights
from llmosd.errors import FeatureUnavailable, InvalidField
from llmosd.jobs.optimizing.calibrate import calibrate
from llmosd.jobs.optimizing.optimize import optimize
from llmosd.jobs.optimizing.prune import average
from llmosd.jobs.optimizing.specs import Average, Merge, OptimizeSpec, Prune, Quantize
from llmosd.jobs.training.build import folder_weights
from llmosd.store.dataset_writer import DatasetWriter
from llmosd.store.manifest import (
    FileEntry,
    GenerationDefaults,
    Manifest,
    decode_manifest,
    encode_json,
)
from tiny_training import tiny_config, tiny_files


class Silent:
    def report(self, *_):
        pass

    def check_cancelled(self):
        pass


def config(**changes):
    return tiny_config(**{"intermediate_size": 128, "hidden_size": 64, "head_dim": 16, **changes})


def version(folder, network, *, adapter=None, base=""):
    """A version's folder as the store has it."""
    folder.mkdir()
    (folder / "config.json").write_bytes(encode_json(network.config))
    files = tiny_files()
    (folder / "tokenizer.json").write_bytes(files.tokenizer)
    (folder / "generation.json").write_bytes(encode_json(GenerationDefaults()))
    if adapter is None:
        save_file(dict(network.state_dict()), folder / "model.safetensors")
    else:
        save_file(to_peft(network), folder / "adapter_model.safetensors")
        (folder / "adapter_config.json").write_text(json.dumps(adapter))
    entries = {
        path.name: FileEntry(path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in folder.iterdir()
    }
    manifest = Manifest(
        architecture="llama", family="llama", parameter_count=parameter_count(network.config),
        context_length=network.config.context_length, vocabulary_size=network.config.vocab_size,
        dtype="float32", license="MIT", create_time=datetime.now(UTC), files=entries, adapter_base=base,
    )  # fmt: skip
    (folder / "manifest.json").write_bytes(encode_json(manifest))
    return folder


def made(tmp_path, source, method, **more):
    output = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
    output.mkdir()
    spec = OptimizeSpec(
        source=str(source), name="models/m/versions/1", digest="sha256:0", output=str(output),
        method=method, **more,
    )  # fmt: skip
    return output, optimize(spec, Silent())


def logits(folder, ids):
    shape = msgspec.json.decode((folder / "config.json").read_bytes(), type=ModelConfig)
    network = from_weights(shape, folder_weights(folder)).eval()
    with torch.no_grad():
        return network(ids, (len(ids),)) @ network.head.T


IDS = torch.arange(40) % 50


@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_quantized_versions_say_nearly_the_same(tmp_path, dtype):
    """Smaller by what the bits say; every file has the digest that the manifest gives."""
    network = from_scratch(config(num_layers=3), 0)
    source = version(tmp_path / "v", network)
    output, result = made(tmp_path, source, Quantize(dtype=dtype))
    before, after = logits(source, IDS), logits(output, IDS)
    assert (after - before).norm() / before.norm() < {"int8": 0.01, "int4": 0.12}[dtype]
    assert 0 < result.report["squared_error"] < {"int8": 1e-4, "int4": 1e-2}[dtype]
    sizes = [folder / "model.safetensors" for folder in (output, source)]
    assert sizes[0].stat().st_size / sizes[1].stat().st_size < {"int8": 0.32, "int4": 0.22}[dtype]
    manifest = decode_manifest((output / "manifest.json").read_bytes())
    assert (manifest.dtype, manifest.license) == (dtype, "MIT")
    assert manifest.lineage["base"] == "models/m/versions/1"
    for name, entry in manifest.files.items():
        assert hashlib.sha256((output / name).read_bytes()).hexdigest() == entry.sha256
    # Training goes on from it, and optimizing too.
    again, _ = made(tmp_path, output, Prune(sparsity=0.5))
    assert logits(again, IDS).isfinite().all()


def text_of(at):
    """Thirty words, other ones for each number."""
    words = Tokenizer.from_str(tiny_files().tokenizer.decode())
    return words.decode([(at * 7 + n * n) % 50 for n in range(30)])


def calibration(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    with DatasetWriter(folder, "text") as writer:
        for at in range(12):
            writer.add({"text": text_of(at)})
        writer.finish(license_="", source="", lineage={}, recipe=None, report=None)
    return str(folder)


def test_calibration_measures_the_inputs(tmp_path):
    """Mean squares by hand, of the first layer's projections: the normed embeddings."""
    network = from_scratch(config(num_layers=1), 0).eval()
    found = calibrate(network, tiny_files().tokenizer, calibration(tmp_path), 3, Silent())
    assert set(found) == {f"{name}.weight" for name in linear_names(network)}
    seen = []
    hook = network.get_submodule("model.layers.0.self_attn.q_proj").register_forward_pre_hook(
        lambda _module, inputs: seen.append(inputs[0])
    )
    words = Tokenizer.from_str(tiny_files().tokenizer.decode())
    with torch.no_grad():
        for at in range(3):
            ids = words.encode(text_of(at)).ids
            network(torch.tensor(ids), (len(ids),))
    hook.remove()
    rows = torch.cat([each.flatten(0, -2) for each in seen]).double()
    expected = rows.square().mean(0).float()
    assert torch.allclose(found["model.layers.0.self_attn.q_proj.weight"], expected, rtol=1e-5)


def test_calibrated_four_bits_are_better(tmp_path):
    """On other tokens than those calibrated on: the outputs are nearer."""
    network = from_scratch(config(num_layers=3), 0)
    with torch.no_grad():  # inputs of very different sizes, as trained networks have them
        for name, parameter in network.named_parameters():
            if "norm" in name:
                generator = torch.Generator().manual_seed(len(name))
                parameter.mul_(torch.rand(parameter.shape, generator=generator).pow(3) * 4)
    source = version(tmp_path / "v", network)
    before = logits(source, IDS)
    plain, _ = made(tmp_path, source, Quantize(dtype="int4"))
    tuned, _ = made(tmp_path, source, Quantize(dtype="int4"), calibration=calibration(tmp_path))
    errors = [float((logits(folder, IDS) - before).norm()) for folder in (plain, tuned)]
    assert errors[1] < 0.95 * errors[0]


def test_magnitudes_that_are_pruned(tmp_path):
    """Half of each row is zero, and it is the smaller half."""
    network = from_scratch(config(), 0)
    source = version(tmp_path / "v", network)
    output, result = made(tmp_path, source, Prune(sparsity=0.5))
    before, after = load_file(source / "model.safetensors"), load_file(output / "model.safetensors")
    assert result.report["zeros"] == pytest.approx(0.5, abs=0.01)
    name = "model.layers.1.mlp.up_proj.weight"
    old, new = before[name], after[name]
    gone = new == 0
    assert (gone.sum(1) == old.shape[1] // 2).all()
    assert torch.equal(new[~gone], old[~gone])
    for row, lost in zip(old.abs(), gone, strict=True):
        assert row[lost].max() <= row[~lost].min()
    assert torch.equal(after["model.embed_tokens.weight"], before["model.embed_tokens.weight"])


def test_neurons_that_write_nothing_go_first(tmp_path):
    """A network with dead neurons says the same without them; and is smaller."""
    network = from_scratch(config(), 0)
    with torch.no_grad():
        for layer in network.model.layers:
            layer.mlp.down_proj.weight[:, 1::4] = 0.0
    source = version(tmp_path / "v", network)
    output, result = made(tmp_path, source, Prune(neurons=0.25))
    assert result.report["intermediate_size"] == 96
    assert result.manifest.parameter_count < parameter_count(network.config)
    assert torch.allclose(logits(output, IDS), logits(source, IDS), atol=1e-5)
    # The control: a quarter that writes is missed.
    more, _ = made(tmp_path, source, Prune(neurons=0.5))
    assert not torch.allclose(logits(more, IDS), logits(source, IDS), atol=1e-3)


def test_an_adapter_becomes_part_of_its_base(tmp_path):
    """W + alpha / r * B A, as peft's own files say it."""
    network = from_scratch(config(), 0)
    base = version(tmp_path / "base", network)
    targets = ("q_proj", "down_proj")
    add_adapters(network, targets, rank=4, alpha=8.0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(len(name)))
    with torch.no_grad():
        expected = network.eval()(IDS, (len(IDS),)) @ network.head.T
    told = peft_config(network.config, targets, rank=4, alpha=8.0, dropout=0.0)
    adapter = version(tmp_path / "a", network, adapter=told, base="models/m/versions/1")
    output, result = made(tmp_path, adapter, Merge(), base=str(base))
    assert torch.allclose(logits(output, IDS), expected, atol=1e-4)
    assert not torch.allclose(logits(base, IDS), expected, atol=1e-2)
    assert result.manifest.adapter_base == ""
    with pytest.raises(InvalidField, match="nothing to merge"):
        made(tmp_path, base, Merge())
    with pytest.raises(InvalidField, match="merge it first"):
        made(tmp_path, adapter, Quantize(dtype="int8"), base=str(base))


def test_means(tmp_path):
    """By the weights given; versions of other shapes have none."""
    one, two = from_scratch(config(), 0), from_scratch(config(), 1)
    first, second = version(tmp_path / "1", one), version(tmp_path / "2", two)
    others = [(str(second), "models/m/versions/2", 3.0)]
    output, _ = made(tmp_path, first, Average(weight=1.0, others=others))
    found = load_file(output / "model.safetensors")
    for name, weight in one.state_dict().items():
        mean = weight.double() * 0.25 + two.state_dict()[name].double() * 0.75
        assert torch.allclose(found[name].double(), mean, atol=1e-7), name
    other = version(tmp_path / "3", from_scratch(config(num_layers=3), 0))
    with pytest.raises(InvalidField, match="same shape"):
        made(tmp_path, first, Average(others=[(str(other), "models/n/versions/1", 1.0)]))
    assert average([({"w": torch.ones(2)}, 1.0)])["w"].tolist() == [1.0, 1.0]


def test_other_architectures_are_refused(tmp_path):
    """By name; nothing is written."""
    network = from_scratch(tiny_config("gpt2"), 0)
    source = version(tmp_path / "v", network)
    with pytest.raises(FeatureUnavailable, match="gpt2"):
        made(tmp_path, source, Quantize(dtype="int8"))
