"""20,000 streams opened and cancelled at once on one connection, beside an honest client (T09)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import threats
from honest import Honest
from threats import forget_peak, memory

COUNT = 20_000
MIB = 1024 * 1024
SCRIPT = Path(__file__).parents[1] / "rapid_reset.py"
INFO = threats.method("GetServerInfo").path

pytestmark = pytest.mark.usefixtures("unharmed")


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def attacked(address, path, pid):
    """What the attack cost the server, and what the honest client saw of it."""
    forget_peak(pid)
    before, cpu = memory(pid), cpu_seconds(pid)
    command = [sys.executable, str(SCRIPT), "attack", address.removeprefix("unix:")]
    with Honest(address, path) as honest:
        done = subprocess.run([*command, path, str(COUNT)], capture_output=True, timeout=120)
    result = json.loads(done.stdout)
    result |= {"codes": honest.codes, "p99_ms": honest.p99_ms}
    result["grown_mib"] = round((memory(pid, "VmHWM") - before) / MIB, 1)
    return result | {"cpu_s": round(cpu_seconds(pid) - cpu, 2)}


def test_rapid_reset(daemon, record_testsuite_property):
    """No honest call fails, and the daemon hardly grows."""
    result = attacked(daemon.address, INFO, daemon.process.pid)
    print(f"rapid reset: {result}")
    record_testsuite_property("rapid_reset", result)
    assert set(result["codes"]) == {"OK"}
    assert result["grown_mib"] <= 10
    # Either all of it was borne, or the connection was ended for it.
    assert result["sent"] == COUNT or result["ended"]


def test_a_server_without_defence(tmp_path, record_testsuite_property):
    """The control: grpc.aio as it comes grows by far more, from the same attack."""
    path = tmp_path / "s"
    command = [sys.executable, str(SCRIPT), "serve", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout.readline() == "ready\n"
            result = attacked(f"unix:{path}", "/x/Y", server.pid)
        finally:
            server.kill()
    record_testsuite_property("rapid_reset_without_defence", result)
    assert result["grown_mib"] > 10
