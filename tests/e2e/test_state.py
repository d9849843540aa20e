"""The state directory at start: older, newer, foreign, read-only, somebody else's (F13, F34, T31)."""

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time

import pytest

from daemon import DaemonProcess, wait_for
from factory import tiny_llama_folder
from llmos_client import LlmosError
from llmosd.store.schema import MIGRATIONS


def start(state, *arguments, **environment):
    """Run a daemon that is not expected to come up; what it said."""
    command = [sys.executable, "-m", "llmosd", "--state-dir", str(state)]
    return subprocess.run(
        [*command, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, **environment},
    )


def test_an_older_state_is_brought_up_and_served(tmp_path):
    """A daemon's own state, taken back to before operations had tenants, answers as it did (F34)."""
    daemon = DaemonProcess(tmp_path)
    daemon.install("tiny", tiny_llama_folder(tmp_path / "tiny"))
    with daemon.client() as client:
        client.load_model("tiny").result()
        answer = client.generate("tiny", tokens=[1, 2, 3], max_tokens=8, temperature=0.0).text
    daemon.stop()
    catalog = tmp_path / "state" / "catalog.db"
    with contextlib.closing(sqlite3.connect(catalog)) as db:
        db.executescript(
            "DROP INDEX operations_by_tenant; ALTER TABLE operations DROP COLUMN tenant;"
            f"PRAGMA user_version = {len(MIGRATIONS) - 1};"
        )
    daemon.start()
    with daemon.client() as client:
        again = client.generate("tiny", tokens=[1, 2, 3], max_tokens=8, temperature=0.0).text
        assert again == answer
        assert len(client.list_operations()) >= 2
    daemon.stop()
    copy = catalog.with_name(f"catalog.db.v{len(MIGRATIONS) - 1}.bak")
    with contextlib.closing(sqlite3.connect(copy)) as db:
        assert db.execute("SELECT model_id FROM versions").fetchall() == [("tiny",)]

    with contextlib.closing(sqlite3.connect(catalog)) as db:
        db.execute("PRAGMA user_version = 99")
    before = catalog.read_bytes()
    refused = start(tmp_path / "state", "--listen", daemon.address)
    assert refused.returncode == 78
    assert refused.stderr.count("\n") == 1
    assert "written by a newer llmosd" in refused.stderr
    assert catalog.read_bytes() == before


def test_a_state_directory_that_cannot_be_written(tmp_path):
    """F13: exit 78, one line that names it; with the right mode it starts."""
    state = tmp_path / "state"
    state.mkdir(mode=0o555)
    command = [sys.executable, "-m", "llmosd", "--state-dir", str(state)]
    command += ["--listen", f"unix:{tmp_path}/s"]
    if os.geteuid() == 0:  # root may write anywhere, but for its privileges
        command = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", *command]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (refused.returncode, refused.stderr) == (78, f"llmosd: {state}: Permission denied\n")
    state.chmod(0o755)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert '"event": "ready"' in next(line for line in process.stdout if "ready" in line)
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
    assert process.returncode == 0


@pytest.mark.parametrize(("state", "says"), [("/proc/none", "No such file"), ("file", "exists")])
def test_a_state_directory_that_cannot_be(tmp_path, state, says):
    """F13: gone, or no folder: exit 78, one line."""
    (tmp_path / "file").write_text("")
    refused = start(tmp_path / state, "--listen", f"unix:{tmp_path}/s")
    assert (refused.returncode, refused.stderr.count("\n")) == (78, 1)
    assert says in refused.stderr


def test_a_second_daemon_on_the_port(tmp_path):
    """T31: exit 75 and one line; the first one goes on. State and sockets: test_faults.py."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    daemon = DaemonProcess(tmp_path / "a", address=address)
    second = start(tmp_path / "b", "--listen", address, "--insecure-loopback")
    assert (second.returncode, second.stderr) == (75, f"llmosd: {address} is in use\n")
    with daemon.client() as client:
        assert client.health() == "serving"
    daemon.stop()


def refusal(daemon):
    """The code of a call on a new connection; OK where it is answered."""
    with daemon.client() as client:
        try:
            client.generate("tiny", tokens=[1], max_tokens=1)
        except LlmosError as error:
            return error.code
    return "OK"


def test_a_second_signal_ends_it_at_once(tmp_path):
    """F08, F09: the first SIGTERM lets a stream go on, health says NOT_SERVING; the second does not."""
    daemon = DaemonProcess(tmp_path, drain_seconds=30)
    daemon.install("tiny", tiny_llama_folder(tmp_path / "tiny", max_position_embeddings=65536))
    daemon.load("tiny")
    with (
        daemon.client() as client,
        client.stream("tiny", tokens=[1], max_tokens=60_000, ignore_eos=True) as events,
    ):
        next(events)
        daemon.process.send_signal(signal.SIGTERM)
        wait_for(lambda: client.health() != "serving", 5)
        wait_for(lambda: refusal(daemon) == "UNAVAILABLE", 5)
        next(events)  # it goes on
        assert daemon.process.poll() is None
        daemon.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert daemon.process.wait(timeout=10) == -signal.SIGTERM
        assert time.monotonic() - began <= 2
        with pytest.raises(LlmosError) as ended:
            list(events)
        assert ended.value.code == "UNAVAILABLE"


def test_streams_end_with_the_grace(tmp_path):
    """F08: streams that do not finish in drain_seconds end UNAVAILABLE, and the exit is clean."""
    daemon = DaemonProcess(tmp_path, drain_seconds=0.5)
    daemon.install("tiny", tiny_llama_folder(tmp_path / "tiny", max_position_embeddings=65536))
    daemon.load("tiny")
    with daemon.client() as client:
        streams = [
            client.stream("tiny", tokens=[1], max_tokens=n, ignore_eos=True)
            for n in (5, 60_000, 60_000)
        ]
        for stream in streams:
            next(stream)
        began = time.monotonic()
        daemon.stop()  # asserts exit status 0
        assert time.monotonic() - began <= 0.5 + 5
        assert type(list(streams[0])[-1]).__name__ == "Completed"
        for stream in streams[1:]:
            with pytest.raises(LlmosError) as ended:
                list(stream)
            assert ended.value.code == "UNAVAILABLE"
