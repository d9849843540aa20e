"""What breaks and what goes on: clients and engines that die or freeze."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from daemon import wait_for
from llmos_client import EngineLostError

LONG = {"max_tokens": 6000, "ignore_eos": True, "seed": 1}
CLIENT = """
import sys
from llmos_client import Client
with Client(sys.argv[1]) as client:
    with client.stream("smollm2", "On and on", max_tokens=6000, ignore_eos=True) as events:
        for event in events:
            print(type(event).__name__, flush=True)
"""


def test_killed_client_frees_its_slot(daemon, client):
    """kill -9 of a client mid-stream: its sequence and blocks are free within a few steps."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLIENT, daemon.address], stdout=subprocess.PIPE, text=True
    )
    for _ in range(5):
        assert process.stdout.readline()
    assert daemon.residency("smollm2").running == 1
    assert daemon.residency("smollm2").kv_blocks_used > 0

    process.kill()
    began = time.monotonic()
    wait_for(lambda: client.get_version("smollm2").residency.running == 0, 5)
    seconds = time.monotonic() - began
    process.wait()
    process.stdout.close()

    assert daemon.residency("smollm2").kv_blocks_used == 0
    assert client.server_info().generations == 0
    print(f"slot free {seconds * 1000:.0f} ms after kill -9")


def test_deadline_frees_the_slot(daemon, client):
    """A call's deadline ends its generation in the engine."""
    with pytest.raises(Exception, match=r"(?i)deadline"):
        client.generate("smollm2", "On and on", timeout=0.5, **LONG)
    wait_for(lambda: daemon.residency("smollm2").running == 0, 5)


@pytest.fixture
def two_models(new_daemon, tiny_folders):
    daemon = new_daemon(heartbeat_timeout_seconds=2.0)
    for name in ("tiny-llama", "tiny-qwen3"):
        daemon.install(name, tiny_folders[name])
        daemon.load(name)
    return daemon


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_lost_engine(two_models, number):
    """Its streams end UNAVAILABLE, another model's go on, and the model comes back by itself."""
    daemon = two_models
    pid = daemon.residency("tiny-llama").pid
    neighbour = Neighbour(daemon)
    with neighbour, daemon.client() as client:
        with client.stream("tiny-llama", tokens=[1, 2, 3], max_tokens=200) as events:
            next(events)
            os.kill(pid, number)
            with pytest.raises(EngineLostError) as caught:
                list(events)
        assert caught.value.code == "UNAVAILABLE"
        assert caught.value.retry_after > 0

        wait_for(lambda: daemon.residency("tiny-llama").state == "loaded", 60)
        after = daemon.residency("tiny-llama")
        assert after.pid != pid
        assert after.restarts == 1
        assert client.generate("tiny-llama", tokens=[1, 2, 3], max_tokens=5).choices
    assert neighbour.answers > 0
    assert neighbour.failures == []


class Neighbour:
    """Generates on the other model until the block ends."""

    def __init__(self, daemon):
        self._daemon = daemon
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.answers = 0
        self.failures = []

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _run(self):
        with self._daemon.client() as client:
            while not self._stop.is_set():
                try:
                    client.generate("tiny-qwen3", tokens=[4, 5], max_tokens=20, ignore_eos=True)
                    self.answers += 1
                except Exception as error:
                    self.failures.append(error)


def test_killed_daemon_takes_its_engines_along(new_daemon, tiny_folders):
    """kill -9 of the daemon: no engine is left, and the next daemon serves the model again."""
    daemon = new_daemon()
    daemon.install("tiny-llama", tiny_folders["tiny-llama"])
    daemon.load("tiny-llama")
    pid = daemon.residency("tiny-llama").pid
    os.kill(pid, signal.SIGSTOP)  # even one that is frozen and cannot see the end of its socket
    daemon.kill()
    wait_for(lambda: not running(pid), 10)

    daemon.start()
    with daemon.client() as client:
        assert daemon.residency("tiny-llama").state == "idle"
        assert (
            client.generate("tiny-llama", tokens=[1, 2], max_tokens=3).choices[0].text is not None
        )


def running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().split(")")[1].split()[0] != "Z"
    except OSError:
        return False


def test_second_daemon_is_refused(daemon, tmp_path):
    """On the same state directory, and on the same socket: exit 75, the first goes on."""
    command = [sys.executable, "-m", "llmosd"]
    same_state = ["--state-dir", str(daemon.folder / "state"), "--listen", f"unix:{tmp_path}/s"]
    same_socket = ["--state-dir", str(tmp_path / "other"), "--listen", daemon.address]
    for arguments in (same_state, same_socket):
        second = subprocess.run(command + arguments, capture_output=True, text=True, timeout=30)
        assert second.returncode == 75
        assert second.stderr.startswith("llmosd: another")
    with daemon.client() as client:
        assert client.health() == "serving"


def test_bounded_queue(new_daemon, tiny_folders):
    """More generations than may run and wait are refused with RetryInfo; the others finish."""
    from llmos_client import QueueFullError

    daemon = new_daemon(max_sequences=2, max_queue=3)
    daemon.install("tiny-llama", tiny_folders["tiny-llama"])
    daemon.load("tiny-llama")
    with daemon.client() as client:
        streams = [
            client.stream("tiny-llama", tokens=[1, 2, 3], max_tokens=250, ignore_eos=True)
            for _ in range(5)
        ]
        for stream in streams:
            next(stream)
        with pytest.raises(QueueFullError) as caught:
            client.generate("tiny-llama", tokens=[1], max_tokens=1)
        assert caught.value.retry_after > 0
        for stream in streams:
            with stream:
                assert type(list(stream)[-1]).__name__ == "Completed"
