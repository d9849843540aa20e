"""The process that waits for the next model: taken, replaced, done without, ended."""

import os
import signal
from pathlib import Path

import pytest

from daemon import wait_for

MIB = 1024 * 1024


def engines(daemon):
    """Process ids of the daemon's engines, the spare one included."""
    parent = daemon.process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return {int(pid) for pid in children if b"llmosd.engine" in command(pid)}


def command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:  # it ended meanwhile
        return b""


def exists(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def daemon(new_daemon, tiny_folders):
    daemon = new_daemon(spare_engine=True)
    daemon.install("tiny-llama", tiny_folders["tiny-llama"])
    wait_for(lambda: engines(daemon), 20)
    return daemon


def test_taken_and_replaced(daemon):
    """The waiting process becomes the model's, and another one waits."""
    (spare,) = engines(daemon)
    daemon.load("tiny-llama")
    assert daemon.residency("tiny-llama").pid == spare
    wait_for(lambda: len(engines(daemon)) == 2, 20)
    with daemon.client() as client:
        assert client.server_info().models_loaded == 1
        client.generate("tiny-llama", tokens=[1], max_tokens=2)
        client.unload_model("tiny-llama").result()
    assert not exists(spare)


def test_a_dead_one_is_done_without(daemon):
    """A spare engine that was lost delays a load, and no more."""
    (spare,) = engines(daemon)
    os.kill(spare, signal.SIGKILL)
    wait_for(lambda: not exists(spare), 20)
    daemon.load("tiny-llama")
    assert daemon.residency("tiny-llama").pid != spare


def test_ends_with_the_daemon(daemon):
    """Stopped or killed, the daemon leaves none behind."""
    (spare,) = engines(daemon)
    daemon.stop()
    assert not exists(spare)
    daemon.start()
    wait_for(lambda: engines(daemon), 20)
    (spare,) = engines(daemon)
    daemon.kill()
    wait_for(lambda: not exists(spare), 20)
    daemon.start()


def test_makes_room(new_daemon, tiny_folders):
    """Where its memory is needed for a model, it goes before any model does."""
    settings = {"memory_reserve_bytes": 0, "kv_cache_bytes": 4 * MIB}
    daemon = new_daemon(spare_engine=True, memory_limit_bytes=1000 * MIB, **settings)
    for name in ("tiny-llama", "tiny-qwen2"):
        daemon.install(name, tiny_folders[name])
        daemon.load(name)
    states = {name: daemon.residency(name).state for name in ("tiny-llama", "tiny-qwen2")}
    assert states == {"tiny-llama": "loaded", "tiny-qwen2": "loaded"}


def test_none_where_none_is_wanted(new_daemon, tiny_folders):
    """The control: without the setting a load starts a process of its own."""
    daemon = new_daemon(spare_engine=False)
    daemon.install("tiny-llama", tiny_folders["tiny-llama"])
    assert not engines(daemon)
    daemon.load("tiny-llama")
    assert engines(daemon) == {daemon.residency("tiny-llama").pid}
