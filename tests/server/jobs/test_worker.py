import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmosd.errors import InvalidModelFile, OperationCancelled
from llmosd.ipc import Channel, ChannelClosed, Failure
from llmosd.jobs import worker
from llmosd.jobs.messages import (
    CancelJob,
    ImportSpec,
    JobDone,
    JobProgress,
    JobSpec,
    ToFront,
    ToJob,
)
from llmosd.store.versions import VersionStore


class Job:
    def __init__(self, *, environment=None):
        front, child = socket.socketpair()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "llmosd.jobs", str(child.fileno())],
            pass_fds=[child.fileno()],
            stdin=subprocess.PIPE,
            env=os.environ | (environment or {}),
        )
        child.close()
        self.sock = front
        self.channel = Channel(front, ToFront)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()

    def outcome(self):
        reports = []
        while isinstance(message := self.channel.receive(), JobProgress):
            reports.append(message)
        return reports, message


def spec(path, output, **changes):
    return ImportSpec(files={path.name: str(path)}, format="gguf", output=str(output), **changes)


def test_imports_smollm2_within_its_memory_and_says_how_far_it_is(smollm2_gguf, tmp_path):
    staging = VersionStore(tmp_path).stage()
    with Job() as job:
        limit = 512 * 1024 * 1024
        job.channel.send(JobSpec(spec=spec(smollm2_gguf, staging.version), data_bytes=limit))
        start = time.monotonic()
        reports, message = job.outcome()
        took = time.monotonic() - start
        assert isinstance(message, JobDone)
        assert message.result.manifest.parameter_count == 134_515_008
        assert job.process.wait(10) == 0
    assert next(r.stage for r in reports) == "read"
    assert (reports[-1].completed, reports[-1].unit) == (134_515_008 * 4, "bytes")
    assert len(reports) <= 10 * took + 10
    assert VersionStore(tmp_path).publish("m", 1, staging).exists()


def test_cancel_stops_soon(smollm2_gguf, tmp_path):
    with Job() as job:
        job.channel.send(JobSpec(spec=spec(smollm2_gguf, tmp_path)))
        while job.channel.receive().stage != "weights":
            pass
        job.channel.send(CancelJob())
        start = time.monotonic()
        _, message = job.outcome()
        assert time.monotonic() - start < 1.0
        assert isinstance(message, Failure)
        assert isinstance(message.error(), OperationCancelled)
        assert job.process.wait(10) == 1
    assert not (tmp_path / "manifest.json").exists()


def test_ends_when_the_front_is_gone(smollm2_gguf, tmp_path):
    with Job() as job:
        job.channel.send(JobSpec(spec=spec(smollm2_gguf, tmp_path)))
        job.channel.receive()
        job.sock.close()
        assert job.process.wait(10) in {1, 2}


def test_ends_when_no_spec_comes():
    with Job() as job:
        job.sock.close()
        assert job.process.wait(20) == 2


def test_a_bad_file_is_a_failure_that_says_why(tmp_path):
    path = tmp_path / "evil.gguf"
    path.write_bytes(b"GGUF\x03\0\0\0" + b"\xff" * 16)
    with Job() as job:
        job.channel.send(JobSpec(spec=spec(path, tmp_path), data_bytes=1 << 29))
        _, message = job.outcome()
        assert message.reason == "INVALID_MODEL_FILE"
        assert "tensors, more than" in message.message
        assert str(tmp_path) not in message.message


def test_a_missing_file_is_our_bug_and_tells_no_path(tmp_path):
    with Job() as job:
        job.channel.send(JobSpec(spec=spec(tmp_path / "none.gguf", tmp_path)))
        _, message = job.outcome()
        assert (message.reason, message.message) == (
            "INTERNAL",
            "an internal error; see the daemon's log",
        )


def test_standard_input_is_closed_and_limits_are_set(tmp_path):
    with Job() as job:
        pid = job.process.pid
        wait_for(lambda: Path(f"/proc/{pid}/fd/0").readlink() == Path("/dev/null"))
        os.mkfifo(tmp_path / "x.gguf")
        job.channel.send(JobSpec(spec=spec(tmp_path / "x.gguf", tmp_path), data_bytes=1 << 29))
        _, message = job.outcome()
        assert message.reason == "UNSAFE_FILE"


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


SLOW = """
import sys, time
from llmosd.jobs import worker
from llmosd.jobs.messages import ImportSpec

def hang(spec, progress):
    progress.report("read")
    {body}

worker._JOBS[ImportSpec] = hang
worker._STAGE_SECONDS["read"] = 0.3
worker._GRACE = 0.5
sys.exit(worker.run(int(sys.argv[1])))
"""


@pytest.mark.parametrize(
    ("body", "answers"),
    [
        ("time.sleep(60)", True),
        # Holds the interpreter's lock for minutes: only the alarm ends it.
        ("import re; re.match('(a*)*b', 'a' * 60)", False),
    ],
)
def test_parsing_that_takes_too_long_is_ended(tmp_path, body, answers):
    front, child = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW.format(body=body), str(child.fileno())],
        pass_fds=[child.fileno()],
    )
    child.close()
    channel = Channel(front, ToFront)
    channel.send(JobSpec(spec=ImportSpec(files={}, format="gguf", output=str(tmp_path))))
    assert channel.receive() == JobProgress("read")
    start = time.monotonic()
    if answers:
        error = channel.receive().error()
        assert isinstance(error, InvalidModelFile)
        assert error.message == 'stage "read" took longer than 0.3 seconds'
    else:
        with pytest.raises(ChannelClosed):
            channel.receive()
    assert time.monotonic() - start < 5.0
    assert process.wait(10) != 0
    front.close()


def test_progress_is_sent_ten_times_a_second_and_at_the_end():
    front, child = socket.socketpair()
    progress = worker.ChannelProgress(Channel(child, ToJob), stage_seconds={})
    receiver = Channel(front, ToFront)
    for n in range(1001):
        progress.report("weights", n, 1000, "bytes")
    progress.report("next")
    progress.close()
    got = [receiver.receive()]
    while got[-1].stage != "next":
        got.append(receiver.receive())
    assert got[0] == JobProgress("weights", 0, 1000, "bytes")
    assert got[-2] == JobProgress("weights", 1000, 1000, "bytes")
    assert len(got) < 20
    progress.check_cancelled()
    receiver.send(CancelJob())
    wait_for(progress._cancelled.is_set)
    with pytest.raises(OperationCancelled, match="cancelled"):
        progress.check_cancelled()
    front.close()
    child.close()


HEAVY = "import sys; import {module}; print([m for m in sys.modules if m in {{'torch', 'numpy'}}])"


@pytest.mark.parametrize(
    "module", ["llmosd.jobs.messages", "llmosd.store.catalog", "llmosd.store.versions"]
)
def test_what_the_front_imports_is_light(module):
    command = [sys.executable, "-c", HEAVY.format(module=module)]
    assert subprocess.check_output(command).strip() == b"[]"
