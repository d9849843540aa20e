"""Checkpoints: whole or not there, the newest whole one found, the disk not filled."""

import json
import shutil

import pytest
import torch
from safetensors import SafetensorError

from llmosd.errors import DataCorrupt, InsufficientDisk
from llmosd.jobs.training import checkpoint as module
from llmosd.jobs.training.checkpoint import Checkpoints, RunState


def tensors(step):
    return {"w": torch.full((100,), float(step))}, {"0/0/exp_avg": torch.full((100,), -1.0 * step)}


def save(checkpoints, step, **state):
    return checkpoints.save(*tensors(step), RunState(step=step, **state))


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path / "ckpt", run="sha256:1", keep=2)


def test_what_is_saved_is_loaded(checkpoints, tmp_path):
    size = save(checkpoints, 5, tokens=7, before={"loss": 2.0}, evaluated=[(5, 1.5)])
    folder = tmp_path / "ckpt" / "step-000005"
    names = {"model.safetensors", "optim.safetensors", "state.json", "DONE"}
    assert {path.name for path in folder.iterdir()} == names
    assert size == sum(path.stat().st_size for path in folder.iterdir())
    loaded, wrong = Checkpoints(tmp_path / "ckpt", run="sha256:1", keep=2).newest()
    assert not wrong
    weights, optimizer = tensors(5)
    assert torch.equal(loaded.weights["w"], weights["w"])
    assert torch.equal(loaded.optimizer["0/0/exp_avg"], optimizer["0/0/exp_avg"])
    assert loaded.state == RunState(step=5, tokens=7, before={"loss": 2.0}, evaluated=[(5, 1.5)])


def test_the_newest_stay_and_the_best(checkpoints):
    for step in (1, 2, 3, 4, 5):
        save(checkpoints, step, best_step=2)
    assert checkpoints.steps() == [2, 4, 5]
    assert checkpoints.load(2).state.step == 2


def _no_mark(folder):
    (folder / "DONE").unlink()


def _cut(folder):
    data = (folder / "optim.safetensors").read_bytes()
    (folder / "optim.safetensors").write_bytes(data[: len(data) // 2])


def _flip(folder):
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)


def _lose(folder):
    (folder / "model.safetensors").unlink()


def _garble(folder):
    (folder / "state.json").write_text(json.dumps({"step": 3})[:-3])


def _other_run(folder):
    text = (folder / "state.json").read_text()
    (folder / "state.json").write_text(text.replace("sha256:1", "sha256:2"))


@pytest.mark.parametrize("damage", [_no_mark, _cut, _flip, _lose, _garble, _other_run])
def test_a_torn_one_is_never_used(checkpoints, tmp_path, damage):
    """The one before is, and what is wrong is said."""
    save(checkpoints, 2)
    save(checkpoints, 3)
    assert checkpoints.newest()[0].state.step == 3
    damage(tmp_path / "ckpt" / "step-000003")
    loaded, wrong = checkpoints.newest()
    assert loaded.state.step == 2
    assert len(wrong) == 1
    assert "step 3 is not used" in wrong[0]
    shutil.rmtree(tmp_path / "ckpt" / "step-000002")
    assert checkpoints.newest()[0] is None
    with pytest.raises(DataCorrupt):
        checkpoints.load(3)


@pytest.mark.parametrize("name", ["model.safetensors", "optim.safetensors", "state.json", "DONE"])
@pytest.mark.parametrize("error", [
    OSError(28, "No space left on device"),
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
])  # fmt: skip
def test_a_full_disk_leaves_the_last_good_one(checkpoints, tmp_path, monkeypatch, name, error):
    """At whatever file it fills up; and the next save, with room, succeeds."""
    save(checkpoints, 2)
    save_file, write = module.save_file, module.write_durably

    def fails(*arguments, **named):
        path = str(arguments[1])
        if path.endswith(name):
            raise error
        action = write if isinstance(arguments[1], str) else save_file
        return action(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(module, "save_file", fails)
        patch.setattr(module, "write_durably", fails)
        with pytest.raises(InsufficientDisk):
            save(checkpoints, 3)
    loaded, _ = checkpoints.newest()
    assert loaded.state.step == 2
    assert not list((tmp_path / "ckpt").glob(".*"))
    save(checkpoints, 3)
    assert checkpoints.newest()[0].state.step == 3


def test_no_room_is_seen_before_the_first_byte(checkpoints, monkeypatch):
    usage = shutil._ntuple_diskusage(10**9, 10**9, 10**6)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InsufficientDisk, match="1000000 are free"):
        save(checkpoints, 1)
    assert checkpoints.steps() == []


def test_left_over_folders_are_cleared(checkpoints, tmp_path):
    """What a killed process was writing is no checkpoint, and goes away."""
    left = tmp_path / "ckpt" / ".step-000007"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"half")
    again = Checkpoints(tmp_path / "ckpt", run="sha256:1", keep=2)
    assert again.newest() == (None, [])
    assert not left.exists()


def test_other_errors_stay_what_they_are(checkpoints, monkeypatch):
    def fails(*_, **__):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(module, "save_file", fails)
    with pytest.raises(OSError, match="Input/output"):
        save(checkpoints, 1)
