"""A disk that is full to the last byte (F11): answers go on, writers are told, nothing is lost."""

import subprocess
from contextlib import suppress

import pytest

from daemon import DaemonProcess
from factory import tiny_llama_folder
from llmos_client import InsufficientDiskError

SIZE = "200m"  # 64 MiB of it stay free of what is written on purpose


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    return tiny_llama_folder(tmp_path_factory.mktemp("hub"))


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, hub):
    """Its state directory is a small file system of its own."""
    folder = tmp_path_factory.mktemp("full")
    state = folder / "state"
    state.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(state)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here: that needs root")
    try:
        process = DaemonProcess(folder, keep_alive_seconds=-1)
        process.install("tiny", hub)
        process.load("tiny")
        process.add("words", "the cat sat on the mat\n" * 100, "text")
        yield process
        process.stop()
    finally:
        subprocess.run(["umount", "-l", str(state)], check=True)


@pytest.fixture
def full(daemon):
    """While the test runs, not a byte is free."""
    junk = daemon.folder / "state" / "junk"
    with junk.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 12))
    yield
    junk.unlink(missing_ok=True)


WRITERS = {
    "alias": lambda client, _: client.set_alias("tiny", "stable", "models/tiny/versions/1"),
    "token": lambda client, _: client.create_token("new", "use"),
    "unload": lambda client, _: client.unload_model("tiny").result(),
    "load": lambda client, _: client.load_model("tiny").result(),
    "delete": lambda client, _: client.delete_dataset("words"),
    "train": lambda client, _: client.train_model("new", "words", family="gpt2"),
    "upload": lambda client, files: client.upload_model("new", files),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_writers_are_told(daemon, hub, full, write):
    """And nothing has changed when there is room again."""
    with daemon.client() as client:
        before = state(client)
        with pytest.raises(InsufficientDiskError, match=r"disk.*llmos gc --dry-run"):
            write(client, sorted(hub.iterdir()))
        assert client.health() == "serving"
        (daemon.folder / "state" / "junk").unlink()
        assert state(client) == before


def state(client):
    models = [(model.name, sorted(model.aliases)) for model in client.list_models()]
    names = [each.name for each in client.list_datasets()]
    return models, names, [token.name for token in client.list_tokens()]


def test_answers_go_on(daemon, full):
    """By the process that was there; what is said of an answer is refused, not lost silently."""
    with daemon.client() as client:
        before = client.get_version("tiny").residency
        answer = client.generate("tiny", tokens=[1], max_tokens=20, ignore_eos=True)
        assert answer.usage.completion_tokens == 20
        with pytest.raises(InsufficientDiskError):
            client.create_feedback(answer.name, "up", consent=True, subject="x" * 100)
        after = client.get_version("tiny").residency
    assert (after.pid, after.restarts, after.state) == (before.pid, 0, "loaded")


def test_afterwards_all_is_as_before(daemon, hub):
    """Without a restart; and no call has crashed."""
    daemon.install("new", hub)
    daemon.load("new")
    with daemon.client() as client:
        assert client.generate("new", tokens=[1], max_tokens=3).choices
        client.set_alias("tiny", "stable", "models/tiny/versions/1")
        client.delete_model("new", force=True)
    events = [line.get("event") for line in daemon.log_lines()]
    assert "disk_full" in events
    assert "call_crashed" not in events
    assert "engine_lost" not in events
