"""A whole run: from a spec to a version folder, killed and resumed on the way."""

import dataclasses
import json
import subprocess
import sys

import msgspec
import pytest
import torch
from safetensors.torch import load_file

import tiny_training
from factory import tiny_llama_folder, tiny_version
from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.table import expected_shapes
from llmosd.architectures.trainable.registry import from_weights
from llmosd.errors import (
    FeatureUnavailable,
    InsufficientDisk,
    InvalidDataset,
    InvalidField,
    OperationCancelled,
    OperationInterrupted,
    TrainingDiverged,
)
from llmosd.jobs.specs import LatentSpec, LoraSpec, OptimizerSpec, StoppingSpec
from llmosd.jobs.training import run as module
from llmosd.jobs.training.checkpoint import Checkpoints, digest
from llmosd.jobs.training.events import CheckpointSaved, Evaluation, Metric, Sample, Warned
from llmosd.jobs.training.result import ModelFiles
from llmosd.jobs.training.run import train
from llmosd.store.manifest import decode_manifest, digest_of
from tiny_training import assert_same_bits, tiny_data, tiny_files, tiny_spec

DATA, HELD_OUT = tiny_data(80, seed=1), tiny_data(20, seed=2)


class Killed(BaseException):
    """What a kill looks like from inside: nothing after it runs."""


def go(
    folder, spec, *, data=DATA, held_out=HELD_OUT, files=None, kill_at=(), orders=(), events=None
):
    """Train in this process; killed before the steps of `kill_at`, and started again each time."""
    said = [] if events is None else events
    left, orders = set(kill_at), list(orders)
    folder.mkdir(exist_ok=True)
    steps = 0

    def control():
        nonlocal steps
        done = max([e.step for e in said if isinstance(e, Metric)], default=0)
        if done in left:
            left.remove(done)
            raise Killed
        steps += 1
        return orders.pop(0) if orders else "run"

    while True:
        try:
            torch.manual_seed(len(left))
            return train(spec, data, held_out, files or tiny_files(), folder, said.append, control)
        except Killed:
            continue


def published(folder):
    return load_file(folder / "out" / "model.safetensors")


def test_from_scratch_to_a_version(tmp_path):
    """Every file of the manifest is there with its digest; the network says what the loop said."""
    said = []
    spec = tiny_spec(
        steps=40, evaluate_every=10, samples=("\u4e05",), sample_tokens=5, license="MIT"
    )
    asked = tiny_files()._replace(prompts=([5],))  # the ids of the sample's words
    result = go(tmp_path, spec, events=said, files=asked)
    out = tmp_path / "out"
    text = (out / "manifest.json").read_bytes()
    manifest = decode_manifest(text)
    assert result.digest == digest_of(text)
    assert manifest == result.manifest
    assert {path.name for path in out.iterdir()} == {*manifest.files, "manifest.json"}
    for name, entry in manifest.files.items():
        assert digest(out / name) == entry
    assert result.byte_size == sum(path.stat().st_size for path in out.iterdir())
    assert (manifest.architecture, manifest.license, manifest.adapter_base) == ("llama", "MIT", "")
    config = msgspec.json.decode((out / "config.json").read_bytes(), type=ModelConfig)
    weights = published(tmp_path)
    assert {name: tuple(each.shape) for name, each in weights.items()} == expected_shapes(config)
    network = from_weights(config, weights)
    held_out = tiny_training.tiny_trainer(spec, network, DATA, validation=HELD_OUT)
    assert held_out.evaluate() == pytest.approx(result.metrics)
    evaluations = [event for event in said if isinstance(event, Evaluation)]
    assert [event.step for event in evaluations] == [10, 20, 30, 40]
    assert evaluations[-1].metrics == result.metrics
    assert result.metrics["loss"] < 0.7 * evaluations[0].metrics["loss"]
    samples = [event for event in said if isinstance(event, Sample)]
    assert len(samples) == 4
    # The data counts upwards; so does what was learned.
    assert samples[-1].text == "\u4e06\u4e07\u4e08\u4e09\u4e0a"
    card = (out / "card.md").read_text()
    for part in ("MIT", "llama", "| 40 |", "(best)", "learning rate 0.01", "perplexity", "Limits"):
        assert part in card


@pytest.mark.parametrize("changes", [
    {"objective": "sft", "dropout": 0.2, "evaluate_every": 4},
    {"family": "encoder", "objective": "masked_language_model", "dropout": 0.1},
    {"family": "gpt2", "accumulation": 2, "optimizer": OptimizerSpec(name="muon", momentum=0.9)},
    {"family": "lstm", "dropout": 0.2, "shape": {"num_layers": 2, "hidden_size": 32}},
])  # fmt: skip
def test_killed_and_resumed_in_bits(tmp_path, changes):
    """Killed before steps 3, 6 and 11 of 13, checkpoints every 2: the same files as undisturbed."""
    spec = tiny_spec(steps=13, **changes)
    go(tmp_path / "whole", spec)
    said = []
    go(tmp_path / "killed", spec, kill_at={3, 6, 11}, events=said)
    assert_same_bits(published(tmp_path / "whole"), published(tmp_path / "killed"))
    # It did start over from checkpoints, not from the beginning: step 3 was done twice, 2 once.
    steps = [event.step for event in said if isinstance(event, Metric)]
    assert steps.count(1) == steps.count(2) == 1
    assert steps.count(3) == steps.count(11) == 2
    one, two = (
        decode_manifest((tmp_path / name / "out" / "manifest.json").read_bytes())
        for name in ("whole", "killed")
    )
    assert one.files["model.safetensors"] == two.files["model.safetensors"]


def test_the_curve_survives_a_resume(tmp_path):
    """Losses of steps done again are the losses they had; evaluations too."""
    spec = tiny_spec(steps=12, evaluate_every=3, dropout=0.2)
    whole, killed = [], []
    go(tmp_path / "whole", spec, events=whole)
    go(tmp_path / "killed", spec, kill_at={5, 8}, events=killed)
    for kind, key in ((Metric, lambda e: e.loss), (Evaluation, lambda e: e.metrics)):
        wanted = {e.step: key(e) for e in whole if isinstance(e, kind)}
        assert {e.step: key(e) for e in killed if isinstance(e, kind)} == wanted
        assert all(wanted[e.step] == key(e) for e in killed if isinstance(e, kind))


def test_a_torn_checkpoint_is_passed_over(tmp_path):
    """The run goes on from the one before, says so, and ends with the same bits."""
    spec = tiny_spec(steps=8)
    go(tmp_path / "whole", spec)
    with pytest.raises(OperationInterrupted):
        go(tmp_path / "torn", spec, orders=["run"] * 6 + ["stop"])
    (tmp_path / "torn" / "ckpt" / "step-000006" / "DONE").unlink()
    said = []
    go(tmp_path / "torn", spec, events=said)
    assert "step 6 is not used" in said[0].message
    assert min(e.step for e in said if isinstance(e, Metric)) == 5
    assert_same_bits(published(tmp_path / "whole"), published(tmp_path / "torn"))


@pytest.mark.parametrize(("order", "error"), [
    ("stop", OperationInterrupted), ("cancel", OperationCancelled),
])  # fmt: skip
def test_stop_and_cancel_leave_a_checkpoint(tmp_path, order, error):
    with pytest.raises(error):
        go(tmp_path, tiny_spec(steps=50, checkpoint_every=50), orders=["run"] * 7 + [order])
    assert max(Checkpoints(tmp_path / "ckpt", run="", keep=9).steps()) == 7
    assert not (tmp_path / "out").exists()


def test_save_and_pause(tmp_path, monkeypatch):
    """Save: one more checkpoint. Pause: one, then nothing happens until it says run."""
    monkeypatch.setattr(module, "_POLL_SECONDS", 0.001)
    said = []
    orders = ["run", "save", "run", "pause", "pause", "pause", "run"]
    go(tmp_path, tiny_spec(steps=6, checkpoint_every=100), orders=orders, events=said)
    assert [e.step for e in said if isinstance(e, CheckpointSaved)] == [0, 1, 3, 6]
    assert [e.step for e in said if isinstance(e, Metric)] == [1, 2, 3, 4, 5, 6]


def test_early_stopping_publishes_the_best(tmp_path):
    """A rate far too high after a good start: the result is what was best, not what was last."""
    spec = tiny_spec(
        steps=60, evaluate_every=2, checkpoint_every=100, keep_checkpoints=1, clip_norm=0.0,
        optimizer=OptimizerSpec(name="sgd", learning_rate=30.0),
        schedule=msgspec.structs.replace(tiny_spec().schedule, warmup_steps=60),
        early_stopping=StoppingSpec(patience=2),
    )  # fmt: skip
    said = []
    result = go(tmp_path, spec, events=said)
    losses = {e.step: e.metrics["loss"] for e in said if isinstance(e, Evaluation)}
    best = min(losses, key=losses.get)
    assert result.stopped_early
    assert result.step == best < result.steps == best + 4
    assert result.metrics["loss"] == losses[best]
    best_weights = load_file(tmp_path / "ckpt" / f"step-{best:06d}" / "model.safetensors")
    assert_same_bits(published(tmp_path), best_weights)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A version to start from, with its tokenizer."""
    root = tmp_path_factory.mktemp("base")
    tiny_llama_folder(root / "source")
    (root / "version").mkdir()
    tiny_version(root / "source", root / "version")
    return root / "version"


def files_of(base):
    return ModelFiles(
        (base / "tokenizer.json").read_bytes(),
        (base / "generation.json").read_bytes(),
        (base / "chat_template.jinja").read_bytes(),
    )


def lora_spec(base, **changes):
    values = {
        "family": "", "shape": {}, "init_from": str(base), "base": "models/tiny/versions/1",
        "method": "lora", "objective": "sft", "steps": 20,
        "optimizer": OptimizerSpec(learning_rate=3e-3),
    }  # fmt: skip
    return tiny_spec(**(values | changes))


def test_an_adapter_is_a_version_of_its_own(tmp_path, base):
    """peft's two files, the base's small ones, and lineage that names the base."""
    result = go(tmp_path, lora_spec(base), files=files_of(base))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "adapter_config.json", "adapter_model.safetensors", "config.json", "tokenizer.json",
        "generation.json", "chat_template.jinja", "card.md", "manifest.json",
    }  # fmt: skip
    assert (
        result.manifest.adapter_base == result.manifest.lineage["base"] == "models/tiny/versions/1"
    )
    assert result.manifest.chat
    assert result.metrics["loss"] < result.before["loss"]
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert (config["r"], config["target_modules"]) == (8, ["q_proj", "v_proj"])


def test_merged_it_is_whole(tmp_path, base):
    """And says what base and adapter said together."""
    spec = lora_spec(base, lora=LoraSpec(merge=True), steps=10)
    result = go(tmp_path, spec, files=files_of(base))
    config = msgspec.json.decode((tmp_path / "out" / "config.json").read_bytes(), type=ModelConfig)
    network = from_weights(config, published(tmp_path))
    trainer = tiny_training.tiny_trainer(spec, network, DATA, validation=HELD_OUT)
    assert trainer.evaluate()["loss"] == pytest.approx(result.metrics["loss"], abs=1e-4)
    assert not result.manifest.adapter_base


def test_an_adapter_is_resumed_in_bits(tmp_path, base):
    """Its checkpoints hold the adapter alone."""
    spec = lora_spec(base, steps=9, lora=LoraSpec(dropout=0.2))
    for name, kills in (("whole", ()), ("killed", {3, 7})):
        go(tmp_path / name, spec, files=files_of(base), kill_at=kills)
    one, two = (
        load_file(tmp_path / name / "out" / "adapter_model.safetensors")
        for name in ("whole", "killed")
    )
    assert_same_bits(one, two)
    saved = load_file(tmp_path / "killed" / "ckpt" / "step-000009" / "model.safetensors")
    assert all(".lora_" in name for name in saved)


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize(("objective", "first"), [("dpo", 0.693147), ("kto", 0.5)])
def test_preferences(tmp_path, base, objective, first, method):
    """The first loss is that of the reference itself, whole or adapted; then it falls."""
    labels = 2 if objective == "kto" else None
    said = []
    spec = lora_spec(
        base, method=method, objective=objective, steps=30, dropout=0.0, evaluate_every=30,
        optimizer=OptimizerSpec(learning_rate=3e-3 if method == "lora" else 3e-4),
    )  # fmt: skip
    data = tiny_data(40, seed=1, labels=labels)
    result = go(tmp_path, spec, data=data, held_out=data, files=files_of(base), events=said)
    losses = [e.loss for e in said if isinstance(e, Metric)]
    assert losses[0] == pytest.approx(first, abs=1e-5)
    assert result.before["loss"] == pytest.approx(first, abs=1e-5)
    assert result.metrics["loss"] < 0.9 * first
    assert result.metrics["accuracy"] > 0.7


@pytest.mark.parametrize("family", ["encoder", "llama"])
def test_classes_and_grades(tmp_path, family):
    """A head of its own, the labels' names in the config, and better than guessing."""
    data = tiny_data(200, seed=1, labels=3, longest=8)
    spec = tiny_spec(family=family, objective="classify", steps=150, batch_size=16, packing=False)
    result = go(tmp_path / "classify", spec, data=data, held_out=data)
    config = msgspec.json.decode(
        (tmp_path / "classify/out/config.json").read_bytes(), type=ModelConfig
    )
    assert config.labels == ("class 0", "class 1", "class 2")
    assert published(tmp_path / "classify")["score.weight"].shape == (3, 32)
    assert result.metrics["accuracy"] > 0.6
    graded = tiny_data(200, seed=1, grades=True, longest=8)
    spec = msgspec.structs.replace(spec, objective="regress")
    result = go(tmp_path / "regress", spec, data=graded, held_out=graded)
    spread = float(graded.labels.var())
    assert result.metrics["loss"] < 0.7 * spread


def test_distillation(tmp_path):
    """A student of a trained teacher; a teacher with other words is refused."""
    go(tmp_path / "teacher", tiny_spec(steps=40))
    teacher = str(tmp_path / "teacher" / "out")
    spec = tiny_spec(objective="distill", teacher=teacher, steps=20, distill_share=1.0)
    said = []
    go(tmp_path / "student", spec, events=said)
    first, *_, last = [e.metrics["divergence"] for e in said if isinstance(e, Metric)]
    assert last < 0.5 * first
    config = json.loads((tmp_path / "teacher/out/config.json").read_text()) | {"vocab_size": 99}
    (tmp_path / "teacher/out/config.json").write_text(json.dumps(config))
    with pytest.raises(InvalidField, match="one vocabulary"):
        go(tmp_path / "again", spec)


def test_nothing_learned_is_no_success(tmp_path):
    """A rate that only destroys: the run fails, and nothing is published."""
    spec = tiny_spec(
        steps=10, clip_norm=0.0, optimizer=OptimizerSpec(name="sgd", learning_rate=3000.0)
    )
    with pytest.raises(TrainingDiverged):
        go(tmp_path, spec)
    assert not (tmp_path / "out").exists()


def test_a_full_disk(tmp_path, monkeypatch):
    """Refused before the start, where two checkpoints do not fit."""
    usage = module.check_disk.__globals__["shutil"]._ntuple_diskusage(10**12, 10**12, 1000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(InsufficientDisk):
        go(tmp_path, tiny_spec())
    assert not list((tmp_path / "ckpt").iterdir())


@pytest.mark.parametrize(("changes", "data", "error", "message"), [
    ({"family": "mamba"}, DATA, InvalidField, "family"),
    ({"shape": {"heads": 3}}, DATA, InvalidField, "shape.*heads"),
    ({"shape": {"hidden_size": 30}}, DATA, InvalidField, "num_heads must divide"),
    ({"sequence_length": 400}, DATA, InvalidField, "reads 64 tokens"),
    ({"objective": "masked_language_model"}, DATA, InvalidField, "not for llama"),
    ({"family": "encoder", "objective": "sft"}, DATA, InvalidField, "not for encoder"),
    ({"objective": "classify"}, DATA, InvalidDataset, "labels"),
    ({"method": "lora"}, DATA, InvalidField, "model to start from"),
    ({}, tiny_data(9, words=60), InvalidDataset, "token 59, .*another tokenizer"),
    ({"early_stopping": StoppingSpec(metric="bleu")}, DATA, InvalidField, "'bleu' is not one of"),
    ({"family": "vae", "objective": "vae", "shape": {"hidden_size": 32},
      "latent": LatentSpec(word_dropout=0.1)}, DATA, InvalidField, "no token for a word"),
])  # fmt: skip
def test_what_cannot_be_trained(tmp_path, changes, data, error, message):
    with pytest.raises(error, match=message):
        go(tmp_path, tiny_spec(**changes), data=data)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory, base):
    """The folder of an adapter that has learned something, and its result."""
    root = tmp_path_factory.mktemp("adapter")
    return root / "out", go(root, lora_spec(base), files=files_of(base))


@pytest.mark.parametrize("method", ["lora", "full"])
def test_an_adapter_is_trained_on(tmp_path, base, adapter, method):
    """It begins where the adapter ended, on it or on whole weights, and gets better."""
    folder, earlier = adapter
    spec = lora_spec(
        base, method=method, adapter=str(folder), adapter_name="models/tiny/versions/2",
        optimizer=OptimizerSpec(learning_rate=1e-3),
    )  # fmt: skip
    result = go(tmp_path, spec, files=files_of(base))
    assert result.before["loss"] == pytest.approx(earlier.metrics["loss"], abs=1e-5)
    assert result.metrics["loss"] < result.before["loss"]
    lineage = result.manifest.lineage
    if method == "lora":
        assert result.manifest.adapter_base == lineage["base"] == "models/tiny/versions/1"
        assert lineage["adapter"] == "models/tiny/versions/2"
    else:
        assert not result.manifest.adapter_base
        assert lineage["base"] == "models/tiny/versions/2"
    assert "Started from: models/tiny/versions/2" in (tmp_path / "out/card.md").read_text()


@pytest.mark.parametrize("method", ["lora", "full"])
def test_preferences_over_an_adapter(tmp_path, base, adapter, method):
    """The reference is what it began as: the adapter, not its base."""
    spec = lora_spec(
        base, method=method, adapter=str(adapter[0]), objective="dpo", dropout=0.0,
        optimizer=OptimizerSpec(learning_rate=3e-4),
    )  # fmt: skip
    result = go(tmp_path, spec, held_out=DATA, files=files_of(base))
    assert result.before["loss"] == pytest.approx(0.693147, abs=1e-5)


def test_an_adapter_alone_is_no_start(tmp_path, adapter):
    """Whole weights have to be named beside it."""
    with pytest.raises(FeatureUnavailable, match="merge"):
        go(tmp_path, lora_spec(adapter[0]))


def test_without_validation(tmp_path):
    """The loss of the last steps stands for it."""
    said = []
    result = go(tmp_path, tiny_spec(steps=20), held_out=None, events=said)
    losses = [e.loss for e in said if isinstance(e, Metric)]
    assert result.metrics["loss"] == pytest.approx(sum(losses) / 20)
    assert not any(isinstance(e, Warned) for e in said)


def test_another_data_set_starts_anew(tmp_path):
    """Checkpoints of another spec or data are not resumed from."""
    with pytest.raises(OperationCancelled):
        go(tmp_path, tiny_spec(), orders=["run", "run", "cancel"])
    said = []
    go(tmp_path, tiny_spec(), data=dataclasses.replace(DATA, digest="sha256:x"), events=said)
    assert "is of another run" in said[0].message
    assert min(e.step for e in said if isinstance(e, Metric)) == 1


def test_events_import_nothing_heavy():
    """The front reads them."""
    code = "import llmosd.jobs.training.events, llmosd.jobs.training.estimate, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy"} & set(done.stdout.split())
