"""A fake daemon on a real socket, clients of it, and the CLI run in this process."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

# Test folders are no packages: this is how the fake is found by the tests beside it.
sys.path.insert(0, str(Path(__file__).parent))

from fake_daemon import FakeDaemon

from llmos_client import AsyncClient, Client


@pytest.fixture
def daemon(tmp_path):
    with FakeDaemon(tmp_path / "llmosd.sock") as running:
        running.install("smollm2", license_="Apache-2.0")
        yield running


@pytest.fixture
def client(daemon):
    with Client(daemon.address) as connected:
        yield connected


@pytest.fixture
async def aclient(daemon):
    async with AsyncClient(daemon.address) as connected:
        yield connected


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def lines(self):
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A person's folders, all inside the test's own."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for kind in ("CACHE", "STATE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind.lower()))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.delenv("LLMOS_ADDRESS", raising=False)
    return tmp_path


@pytest.fixture
def llmos(home, capsys, monkeypatch):
    """Run the CLI; without an address it finds the fake through LLMOS_ADDRESS, if one runs."""
    from llmos_client.cli.main import run

    def call(*arguments, stdin=None):
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", stdin)
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


@pytest.fixture
def cli(daemon, llmos, monkeypatch):
    """The CLI with the fake daemon's address in the environment."""
    monkeypatch.setenv("LLMOS_ADDRESS", daemon.address)
    return llmos


@pytest.fixture
def start(daemon, home):
    """Start the CLI as a process of its own; it is gone when the test is."""
    started = []

    def popen(*arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE):
        command = [sys.executable, "-c", "from llmos_client.cli.main import main; main()"]
        environment = {**os.environ, "LLMOS_ADDRESS": daemon.address, "TERM": "xterm"}
        process = subprocess.Popen(
            [*command, *arguments], stdin=stdin, stdout=stdout, stderr=stderr, env=environment
        )
        started.append(process)
        return process

    yield popen
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe and not pipe.closed:
                pipe.close()
