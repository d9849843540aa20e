"""Every family of ours goes out and comes back: the same files, and the same answers."""

import json

import msgspec
import pytest
import torch
from safetensors.torch import load_file

from factory import Silent, files_of
from llmosd.architectures.families.table import families
from llmosd.architectures.trainable.registry import from_scratch
from llmosd.engine.loader import load
from llmosd.errors import InvalidField, InvalidModelFile
from llmosd.ipc.messages import LoadEngine, Submit
from llmosd.jobs.importing.convert import import_model
from llmosd.jobs.messages import ImportSpec
from llmosd.jobs.training.checkpoint import RunState
from llmosd.jobs.training.result import write_result
from tiny_prompts import GREEDY, START
from tiny_training import WORDS, tiny_config, tiny_files, tiny_spec

LABELS = {"head": "classify", "labels": ("one", "two", "three")}
NETWORKS = {
    "encoder": LABELS,
    "cnn": LABELS,
    "naive-bayes": LABELS,
    "lstm": {}, "gru": {}, "rnn": {},
    "seq2seq": {"encoder_layers": 1, "start_id": START},
    "seq2seq-lstm": {"encoder_layers": 1, "start_id": START},
    "vae": {"encoder_layers": 1, "start_id": START, "latent_size": 6},
    "llama": LABELS,
    "gpt2": {"norm_bias": False},
}  # fmt: skip


def trained(folder, family):
    """A version folder as a job writes it, of random weights."""
    network = from_scratch(tiny_config(family, **NETWORKS[family]), 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    files = tiny_files()
    start = NETWORKS[family].get("start_id")
    generation = {"temperature": 0.0, "start_token_id": start, "eos_token_ids": [WORDS - 1]}
    files = files._replace(generation=msgspec.json.encode(generation))
    write_result(folder, network, tiny_spec(family=family, license="MIT"), files, RunState())
    return folder


def answer(folder, family):
    """What an engine with the version says."""
    order = LoadEngine(
        str(folder), "cpu", "float32", "", 1 << 20, 2, 16, 0, threads=1, heartbeat_seconds=0.5
    )
    engine, _ = load(order, lambda *_: None)
    prompt = [5, 17, 33, 8, 21, *([START] if "start_id" in NETWORKS[family] else [])]
    task = "classify" if "head" in NETWORKS[family] else "generate"
    engine.submit(Submit(1, prompt, 1, 8, 0, [], GREEDY, 0, task=task))
    found = []
    while engine.has_work:
        step = engine.step()
        found += [(each.token, each.logprob) for each in step.tokens]
        found += [each.logprobs for each in step.scored]
    assert found
    return found


@pytest.mark.parametrize("family", NETWORKS)
def test_round_trip(family, tmp_path, export, again):
    version = tmp_path / "version"
    version.mkdir()
    trained(version, family)
    folder = export(version, "hugging_face")
    assert json.loads((folder / "config.json").read_text())["model_type"] == "llmos"
    back = again(folder, "hugging_face")
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        assert load_any(back / name) == load_any(version / name), name
    assert answer(back, family) == answer(version, family)
    with pytest.raises(InvalidField, match="GGUF has no words for this"):
        export(version, "gguf")


def load_any(path):
    """What a file says, not how it is laid out."""
    if path.suffix == ".json":
        return json.loads(path.read_text())
    return {name: each.tolist() for name, each in load_file(path).items()}


def test_no_family_is_left_out():
    """What is here, and what transformers has a class for, is all there is."""
    assert set(NETWORKS) >= set(families())


WRONG = [
    ({"architecture": "perceptron"}, "architecture 'perceptron' is not one of"),
    ({"hidden_size": 10**9}, "hidden_size"),
    ({"start_id": WORDS}, "start_id is 50; it must be from -1 to 49"),
    ({"start_id": -1}, "start_id is missing"),
    ({"encoder_layers": -1}, "encoder_layers is -1"),
    ({"latent_size": 1 << 30}, "latent_size"),
    ({"head": "rhyme"}, "head is not one of language, classify, regress"),
    ({"labels": ["a"]}, "labels go with the head classify alone"),
    ({"head": "classify", "labels": ["x" * 300]}, "a label has more than 256 letters"),
    ({"favourite": 1}, "unknown field"),
    ({"vocab_size": "many"}, "vocab_size"),
]


@pytest.mark.parametrize(("changes", "match"), WRONG, ids=lambda value: str(value)[:40])
def test_a_strangers_config(changes, match, tmp_path, export):
    """What is wrong is named; nothing of it is believed."""
    version = tmp_path / "version"
    version.mkdir()
    folder = export(trained(version, "seq2seq"), "hugging_face")
    config = json.loads((folder / "config.json").read_text())
    config["llmos"] |= changes
    (folder / "config.json").write_text(json.dumps(config))
    refused(folder, match, tmp_path)


def refused(folder, match, tmp_path):
    output = tmp_path / "refused"
    output.mkdir()
    spec = ImportSpec(files=files_of(folder), format="hugging_face", output=str(output))
    with pytest.raises(InvalidModelFile, match=match):
        import_model(spec, Silent())


@pytest.mark.parametrize(("changes", "match"), [
    ({"eos_token_ids": [WORDS]}, "generation.json: token 50 is not in the vocabulary"),
    ({"eos_token": "nowhere"}, "'nowhere' is not in the vocabulary"),
    ({"temperature": -1.0}, "temperature is -1.0"),
    ({"top_k": "all"}, "top_k"),
    (None, "generation.json is missing"),
])  # fmt: skip
def test_a_strangers_defaults(changes, match, tmp_path, export):
    version = tmp_path / "version"
    version.mkdir()
    folder = export(trained(version, "lstm"), "hugging_face")
    path = folder / "generation.json"
    if changes is None:
        path.unlink()
    else:
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    refused(folder, match, tmp_path)
