"""Whole runs of classifiers: killed, resumed, started from others, and what their cards say."""

import json

import msgspec
import pytest
from safetensors.torch import load_file

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.trainable.registry import from_weights
from llmosd.jobs.specs import StoppingSpec
from llmosd.jobs.training.events import CheckpointSaved, Evaluation, Metric
from llmosd.jobs.training.run import train
from tiny_training import assert_same_bits, tiny_data, tiny_files, tiny_spec, tiny_trainer

DATA, HELD_OUT = tiny_data(200, seed=1, labels=3, longest=8), tiny_data(50, seed=2, labels=3)
NAIVE_BAYES = tiny_spec(family="naive-bayes", objective="classify", shape={}, steps=0)


class Killed(BaseException):
    """What a kill looks like from inside: nothing after it runs."""


def go(folder, spec, *, data, held_out, killed=False, events=None):
    """Train in this process; `killed` before its first step, and started again."""
    folder.mkdir(exist_ok=True)
    says = (lambda _: None) if events is None else events.append

    def control():
        nonlocal killed
        if killed:
            killed = False
            raise Killed
        return "run"

    while True:
        try:
            return train(spec, data, held_out, tiny_files(), folder, says, control)
        except Killed:
            continue


def published(folder):
    return load_file(folder / "out" / "model.safetensors")


def config_of(folder):
    return msgspec.json.decode((folder / "out/config.json").read_bytes(), type=ModelConfig)


def test_naive_bayes(tmp_path):
    """One step, from the same job to the same kind of result; killed before it, the same bits."""
    said = []
    result = go(tmp_path / "one", NAIVE_BAYES, data=DATA, held_out=HELD_OUT, events=said)
    assert (result.step, result.steps, result.tokens) == (1, 1, len(DATA.ids))
    assert [e.step for e in said if isinstance(e, CheckpointSaved)] == [0, 1]
    assert [e.step for e in said if isinstance(e, Metric)] == [1]
    evaluation = next(e for e in said if isinstance(e, Evaluation))
    assert evaluation.metrics == result.metrics
    go(tmp_path / "two", NAIVE_BAYES, data=DATA, held_out=HELD_OUT, killed=True)
    assert_same_bits(published(tmp_path / "one"), published(tmp_path / "two"))
    config = config_of(tmp_path / "one")
    assert (config.architecture, config.head, config.labels) == (
        "naive-bayes", "classify", DATA.label_names,
    )  # fmt: skip
    network = from_weights(config, load_file(tmp_path / "one/out/model.safetensors"))
    again = tiny_trainer(NAIVE_BAYES, network, DATA, validation=HELD_OUT)
    assert again.evaluate() == pytest.approx(result.metrics)


def test_too_sure_is_no_failure(tmp_path):
    """Words that say nothing of the label: a loss above ln 3 is naive Bayes' way, not a fault.

    The control, at the end, is a network whose loss may not be.
    """
    noise = tiny_data(40, seed=3, labels=3, longest=60)
    held_out = tiny_data(60, seed=4, labels=3, longest=60)
    spec = msgspec.structs.replace(NAIVE_BAYES, sequence_length=64)
    assert go(tmp_path, spec, data=noise, held_out=held_out).metrics["loss"] > 1.2
    assert (tmp_path / "out/manifest.json").exists()


def test_a_cnn_learns(tmp_path):
    """The first token modulo three is nothing that a filter is told, and it is found."""
    spec = tiny_spec(
        family="cnn", objective="classify", shape={"hidden_size": 32}, steps=150, batch_size=16,
        packing=False, evaluate_every=50,
        early_stopping=StoppingSpec(metric="macro_f1", patience=5, maximize=True),
    )  # fmt: skip
    said = []
    result = go(tmp_path, spec, data=DATA, held_out=DATA, events=said)
    assert result.metrics["accuracy"] > 0.75
    assert result.metrics["macro_f1"] > 0.75
    best = [e.metrics["macro_f1"] for e in said if isinstance(e, Evaluation) and e.best]
    assert best == sorted(best)
    card = (tmp_path / "out/card.md").read_text()
    share = max((DATA.labels == each).mean() for each in range(3))
    for part in (
        "- Labels: class 0, class 1, class 2",
        f"most frequent label is right for {share:.1%} of the validation rows",
        f"this model for {result.metrics['accuracy']:.1%}",
        "macro_f1: ",
    ):
        assert part in card


@pytest.mark.parametrize("family", ["llama", "cnn"])
def test_from_other_labels(tmp_path, family):
    """A classifier goes on with its own labels; with others, its head begins anew."""
    shape = {"hidden_size": 32} if family == "cnn" else tiny_spec().shape
    spec = tiny_spec(family=family, objective="classify", shape=shape, steps=100, packing=False)
    first = go(tmp_path / "first", spec, data=DATA, held_out=DATA)
    start = str(tmp_path / "first/out")
    on = msgspec.structs.replace(spec, family="", shape={}, init_from=start, steps=1)
    same = go(tmp_path / "same", on, data=DATA, held_out=DATA)
    assert same.before["loss"] == pytest.approx(first.metrics["loss"], abs=1e-5)
    renamed = tiny_data(200, seed=1, labels=3, longest=8)
    object.__setattr__(renamed, "label_names", ("class 2", "class 1", "class 0"))
    other = go(tmp_path / "other", on, data=renamed, held_out=renamed)
    assert other.before["loss"] == pytest.approx(1.0986, abs=0.1)
    assert config_of(tmp_path / "other").labels == ("class 2", "class 1", "class 0")
    assert json.loads((tmp_path / "other/out/config.json").read_text())["head"] == "classify"
