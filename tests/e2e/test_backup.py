"""Backups while the daemon trains, imports and deletes; restored elsewhere, they answer the same."""

import json
import shutil
import subprocess
import sys
import threading

import pytest

from daemon import DaemonProcess, wait_for
from factory import tiny_llama_folder
from llmos_client import AsyncClient, DataCorruptError, PermissionDeniedError
from llmos_client.cli.main import run
from plain_text import plain_text

SMALL = {
    "tokenizer_kind": "character",
    "shape.num_layers": 2,
    "shape.hidden_size": 32,
    "shape.num_heads": 2,
    "shape.context_length": 32,
    "sequence_length": 32,
    "batch_size": 4,
    "steps": 100_000,
    "checkpoint_every": 10,
    "log_every": 1,
    "threads": 1,
}


def restored(backup, state, *arguments):
    command = [sys.executable, "-m", "llmosd", "restore", str(backup), "--state-dir", str(state)]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60)


def answer(daemon, model):
    with daemon.client() as client:
        return client.generate(model, tokens=[1, 2, 3], max_tokens=8, temperature=0.0).text


def events_of(run_folder):
    return [json.loads(line) for line in (run_folder / "events.jsonl").read_text().splitlines()]


def steps(lines):
    """Steps that training told of."""
    return [line["event"]["step"] for line in lines if line["event"].get("source") == "training"]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    process = DaemonProcess(tmp_path_factory.mktemp("backup"), keep_alive_seconds=-1)
    for number, name in enumerate(("kept", "gone")):
        process.install(name, tiny_llama_folder(tmp_path_factory.mktemp(name), seed=number))
    process.add("words", plain_text(seed=1), "text")
    process.load("kept")
    yield process
    process.stop()


@pytest.fixture(scope="module")
def backup(daemon, tmp_path_factory):
    """Made while a job trains, a model is imported, and another one is deleted."""
    folder = tmp_path_factory.mktemp("backups")
    importing = threading.Thread(
        target=daemon.install,
        args=("late", tiny_llama_folder(tmp_path_factory.mktemp("late"), seed=7)),
    )
    with daemon.client() as client:
        job = client.train_model("trained", "words", family="gpt2", settings=SMALL)
        run_folder = daemon.folder / "state" / "operations" / job.name.removeprefix("operations/")
        wait_for(lambda: list(run_folder.glob("ckpt/*/DONE")), 60, daemon.log.read_text)
        importing.start()

        def delete_once(progress):
            nonlocal deleted
            if not deleted:  # the list is sent, contents are on their way
                with daemon.client() as other:
                    other.delete_model("gone")
                deleted = True

        deleted = False
        made = client.back_up(folder, on_progress=delete_once)
        assert deleted
        assert not client.get_operation(job.name).done
        importing.join()
        client.cancel_operation(job.name)
    assert made.new_files > 10
    return folder, job.name


def test_restored_elsewhere_it_answers_the_same(daemon, backup, tmp_path):
    """The model that was deleted meanwhile is there, and the job goes on from its checkpoint."""
    folder, job = backup
    done = restored(folder, tmp_path / "state")
    assert done.returncode == 0, done.stderr
    run_folder = tmp_path / "state" / job
    saved = max(int(path.parent.name[5:]) for path in run_folder.glob("ckpt/*/DONE"))
    before = len(events_of(run_folder))
    other = DaemonProcess(tmp_path)
    try:
        other.load("kept")
        assert answer(other, "kept") == answer(daemon, "kept")
        with other.client() as client:
            assert {"kept", "gone"} <= {model.id for model in client.list_models()}
            wait_for(lambda: steps(events_of(run_folder)[before:]), 60, other.log.read_text)
            # A checkpoint that were of another run, or damaged, would have it begin anew.
            assert min(steps(events_of(run_folder)[before:])) > saved
            client.cancel_operation(job)
        other.load("gone")
        assert answer(other, "gone") is not None
    finally:
        other.stop()


def test_the_second_backup_sends_what_is_new(daemon, backup, capsys):
    folder, _ = backup
    command = ["backup", str(folder), "--address", daemon.address, "-o", "json"]
    assert run(command) == 0
    first = json.loads(capsys.readouterr().out)["backup"]
    assert run(command) == 0
    second = json.loads(capsys.readouterr().out)["backup"]
    assert second["bytes"] > 10 * second["new_bytes"]
    assert second["name"] > first["name"]
    assert not list((daemon.folder / "state" / ".snapshots").iterdir())


def test_old_snapshots_go(daemon, backup, tmp_path, capsys):
    """With what only they had, and nothing else: the newest is whole."""
    folder = tmp_path / "copy"
    shutil.copytree(backup[0], folder)
    daemon.add("passing", "the canary sings at dawn\n" * 50, "text")
    command = ["backup", str(folder), "--address", daemon.address]
    assert run(command) == 0
    assert holds(folder, b"the canary sings at dawn")
    with daemon.client() as client:
        client.delete_dataset("passing")
    capsys.readouterr()
    before = len(list((folder / "snapshots").glob("*.json")))
    assert run([*command, "--keep", "1"]) == 0
    assert f"removed {before} older snapshots" in capsys.readouterr().out
    assert not holds(folder, b"the canary sings at dawn")
    assert len(list((folder / "snapshots").glob("*.json"))) == 1
    done = restored(folder, tmp_path / "state", "--dry-run")
    assert done.returncode == 0, done.stderr
    with daemon.client() as client:
        assert client.back_up(folder, keep=2).removed_snapshots == 0


def holds(folder, words):
    return any(
        words in path.read_bytes() for path in (folder / "blobs").rglob("*") if path.is_file()
    )


def test_a_damaged_snapshot_removes_nothing(daemon, backup, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(backup[0], folder)
    with daemon.client() as client:
        client.back_up(folder)
        newest = max((folder / "snapshots").glob("*.json"))
        newest.write_text("{")
        before = sorted(folder.rglob("*"))
        with pytest.raises(OSError, match="damaged, so nothing was removed"):
            client.back_up(folder, keep=2)
        assert set(before) <= set(folder.rglob("*"))


def test_one_at_a_time(daemon, backup, tmp_path, capsys):
    """A second one is refused while the first one writes, and not after it."""
    from llmos_client.backups import BackupWriter

    command = ["backup", str(tmp_path / "new"), "--address", daemon.address]
    writer = BackupWriter(tmp_path / "new")
    assert run(command) == 1
    assert "another backup is being written" in capsys.readouterr().err
    writer.discard()
    assert run(command) == 0


def test_a_damaged_backup_is_found(backup, tmp_path):
    """One bit, one byte less, one file less: 65, and nothing is left; whole it is restored."""
    folder = tmp_path / "copy"
    shutil.copytree(backup[0], folder)
    newest = max((folder / "snapshots").glob("*.json"))
    files = json.loads(newest.read_text())["files"]
    name = next(path for path in files if path.endswith("model.safetensors"))
    digest = files[name]["digest"].removeprefix("sha256:")
    blob = folder / "blobs" / "sha256" / digest[:2] / digest
    whole = blob.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for damaged in (bytes(flipped), whole[:-1], None):
        blob.unlink() if damaged is None else blob.write_bytes(damaged)
        for arguments in ((), ("--dry-run",)):
            done = restored(folder, tmp_path / "state", *arguments)
            assert (done.returncode, done.stderr.count("\n")) == (65, 1)
            assert name in done.stderr
        assert sorted(path.name for path in tmp_path.iterdir()) == ["copy"]
    blob.write_bytes(whole)
    assert restored(folder, tmp_path / "state", "--dry-run").returncode == 0
    assert not (tmp_path / "state").exists()


def test_what_is_there_is_not_overwritten(daemon, backup, tmp_path):
    """78 and one line: a state that is there, no backup, no such snapshot."""
    state = daemon.folder / "state"
    before = sorted(path.name for path in state.iterdir())
    for folder, arguments, says in (
        (backup[0], (), "is not empty"),
        (tmp_path, (), "has no snapshots"),
        (backup[0], ("--snapshot", "x"), "has no snapshot x"),
    ):
        done = restored(folder, state, *arguments)
        assert (done.returncode, done.stderr.count("\n")) == (78, 1)
        assert says in done.stderr
    assert sorted(path.name for path in state.iterdir()) == before


def test_damage_in_the_daemon_is_found_by_the_backup(tmp_path):
    """No snapshot of a state whose bytes are not what they were; before the damage there is one."""
    daemon = DaemonProcess(tmp_path / "d")
    daemon.install("tiny", tiny_llama_folder(tmp_path / "tiny"))
    try:
        with daemon.client() as client:
            client.back_up(tmp_path / "good")
            weights = daemon.folder / "state/models/tiny/1/model.safetensors"
            data = bytearray(weights.read_bytes())
            data[-1] ^= 1
            weights.write_bytes(data)
            with pytest.raises(DataCorruptError, match=r"model\.safetensors"):
                client.back_up(tmp_path / "bad")
        assert not list((tmp_path / "bad" / "snapshots").iterdir())
    finally:
        daemon.stop()


async def test_asyncio_and_roles(daemon, tmp_path):
    with daemon.client() as client:
        secret = client.create_token("no-backup", "manage").secret
    async with AsyncClient(daemon.address) as client:
        assert (await client.back_up(tmp_path / "a")).files > 10
    async with AsyncClient(daemon.address, token=secret) as client:
        with pytest.raises(PermissionDeniedError):
            await client.back_up(tmp_path / "b")
    assert restored(tmp_path / "a", tmp_path / "state", "--dry-run").returncode == 0
