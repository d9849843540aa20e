"""Requests for training, and what is made of a job's events."""

import csv
import io

import pytest

from llmos.v1 import operation_service_pb2, training_service_pb2
from llmos_client import FeatureUnavailableError, InvalidFieldError, OperationEvent, StepMetrics
from llmos_client.cli.job_view import describe, job_name, show_curve
from llmos_client.curves import Curve, draw, write_tensorboard
from llmos_client.parsing_operations import operation_event
from llmos_client.training_requests import setting_names, train_request


def event(sequence, step, source="training", **values):
    return OperationEvent(sequence, None, metrics=StepMetrics(step, source, values))


@pytest.fixture
def curve():
    events = [event(at, at, loss=4.0 / at, learning_rate=0.1) for at in range(1, 21)]
    events += [event(21, 20, "evaluation", loss=0.5), OperationEvent(22, None, warning="w")]
    return Curve.of(events)


def test_settings_by_name_and_type():
    """Text from a command line and values from Python come to the same."""
    as_text = {
        "steps": "500", "packing": "no", "precision": "bfloat16", "optimizer.learning_rate": "1e-3",
        "schedule.name": "wsd", "lora.rank": "4", "lora.targets": "q_proj, down_proj",
        "lora.merge": "true", "early_stopping.patience": "3", "shape.num_layers": "2",
        "tokenizer_kind": "character", "vocabulary_size": "300",
    }  # fmt: skip
    as_values = {
        "steps": 500, "packing": False, "precision": "bfloat16", "optimizer.learning_rate": 1e-3,
        "schedule.name": "wsd", "lora.rank": 4, "lora.targets": ["q_proj", "down_proj"],
        "lora.merge": True, "early_stopping.patience": 3, "shape.num_layers": 2,
        "tokenizer_kind": "character", "vocabulary_size": 300,
    }  # fmt: skip
    one = train_request("m", "d", objective="sft", method="lora", settings=as_text)
    assert one == train_request("m", "d", objective="sft", method="lora", settings=as_values)
    assert one.parameters.steps == 500
    assert one.parameters.HasField("packing")
    assert not one.parameters.packing
    assert list(one.lora.targets) == ["q_proj", "down_proj"]
    assert one.objective == training_service_pb2.TRAINING_OBJECTIVE_SFT


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("learning_rate", 1, "did you mean"),
        ("optimizer.lr", 1, "no setting"),
        ("steps", "ten", "number"),
        ("steps", 1.5, "whole"),
        ("steps", -1, "whole"),
        ("packing", "perhaps", "true or false"),
        ("clip_norm", "nan", "finite"),
        ("tokenizer_kind", "syllable", "character, word, bpe"),
    ],
)
def test_a_wrong_setting_is_named(name, value, says):
    with pytest.raises(InvalidFieldError, match=says) as caught:
        train_request("m", "d", settings={name: value})
    assert [v.field for v in caught.value.violations] == [name]


def test_every_listed_setting_is_known():
    """What `--settings` lists is accepted, and every field of the request is listed."""
    numbers = {"name": "adamw", "precision": "float32", "metric": "loss", "targets": "q_proj"}
    for name in setting_names():
        last = name.rpartition(".")[2]
        value = {"schedule.name": "linear", "tokenizer_kind": "bpe", "vocabulary_size": 99}.get(
            name, numbers.get(last, 1)
        )
        train_request("m", "d", settings={name.replace("NAME", "num_layers"): value})
    parameters = training_service_pb2.TrainingParameters.DESCRIPTOR.fields_by_name
    assert set(parameters) <= set(setting_names())


def test_objective_and_method_are_checked():
    with pytest.raises(InvalidFieldError, match="language_model"):
        train_request("m", "d", objective="guess")
    with pytest.raises(InvalidFieldError, match="lora"):
        train_request("m", "d", method="half")


def test_a_curve_in_rows_pictures_and_files(curve, tmp_path):
    rows = curve.rows()
    assert [row["step"] for row in rows] == [*range(1, 21), 20]
    assert rows[-1] == {"step": 20, "source": "evaluation", "loss": 0.5}
    assert curve.series("training") == (list(range(1, 21)), [4.0 / at for at in range(1, 21)])
    text = show_curve(curve, "loss", width=40, height=8)
    assert "loss (training)" in text
    assert "loss (evaluation)" in text
    for suffix, magic in (("svg", b"<?xml"), ("png", b"\x89PNG")):
        draw(curve, "loss", tmp_path / f"l.{suffix}", "job")
        assert (tmp_path / f"l.{suffix}").read_bytes().startswith(magic)
    write_tensorboard(curve, tmp_path / "tb")
    (file,) = (tmp_path / "tb").iterdir()
    assert b"loss/training" in file.read_bytes()
    assert b"loss/evaluation" in file.read_bytes()
    table = io.StringIO()
    writer = csv.DictWriter(table, ["step", "source", "loss", "learning_rate"])
    writer.writerows(rows)
    assert table.getvalue().count("\n") == 21


def test_pictures_need_their_extra(curve, tmp_path, monkeypatch):
    """Without matplotlib, the error says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(FeatureUnavailableError, match=r"llmos\[plot\]"):
        draw(curve, "loss", tmp_path / "l.svg", "job")


@pytest.mark.parametrize(
    ("fill", "line"),
    [
        (lambda e: e.metrics.values.update({"loss": 1.5, "tokens_per_second": 1234.5}), "step 0: loss 1.5  tokens_per_second 1,234"),
        (lambda e: setattr(e.warning, "message", "mind"), "warning: mind"),
        (lambda e: setattr(e.checkpoint, "step", 40), "checkpoint after step 40"),
        (lambda e: setattr(e.phase, "state", 6), "paused"),
        (lambda e: setattr(e.sample, "text", "yes"), "step 0: '' -> 'yes'"),
        (lambda e: setattr(e.progress, "stage", "tokenize"), "tokenize"),
    ],
)  # fmt: skip
def test_events_as_lines(fill, line):
    """From the wire to what a person reads."""
    proto = operation_service_pb2.OperationEvent(sequence=1)
    fill(proto)
    assert describe(operation_event(proto)) == line


def test_heartbeats_are_nothing_and_names_are_completed():
    proto = operation_service_pb2.OperationEvent()
    proto.heartbeat.SetInParent()
    assert operation_event(proto) is None
    assert job_name("abc") == job_name("operations/abc") == "operations/abc"
