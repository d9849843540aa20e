"""What an engine's handle counts: requests that ended, and those that the engine is to blame for."""

import asyncio
import os
import subprocess
import sys

import pytest

from llmosd import device
from llmosd.errors import InternalError, InvalidField
from llmosd.ipc import ChannelClosed, Failure
from llmosd.ipc.messages import (
    EngineStats,
    LoadEngine,
    Ready,
    Rejected,
    SamplingSpec,
    StepResult,
    Submit,
    TokenOut,
)
from llmosd.supervisor.engine_handle import EngineHandle, HandleLimits, Listener

GREEDY = SamplingSpec(0.0, 0, 1.0, 0.0, 1.0, 0.0, 0.0, 0, {})
STATS = EngineStats(0, 0, 0, 0, 0, 0, 0, 0, 0)
ORDER = LoadEngine("", "cpu", "float32", "", 0, 1, 1, 0, threads=1, heartbeat_seconds=1.0)


class Child:
    """A process that says what the test puts into its queue; None: it ends."""

    name, pid = "engine", 1

    def __init__(self):
        self.channel = self
        self.says = asyncio.Queue()

    def send(self, _message):
        pass

    async def receive(self):
        message = await self.says.get()
        if message is None:
            raise ChannelClosed
        return message

    def kill(self):
        pass

    async def ended(self):
        return -9


def submit(handle):
    return handle.submit(Listener(), lambda number: Submit(number, [1], 1, 1, 0, [], GREEDY, -1))


async def counts(*said, requests=1, stops=False):
    """(ended, faults) after an engine with so many requests said this."""
    child = Child()
    limits = HandleLimits(max_generations=9, heartbeat_timeout=60.0, load_timeout=60.0)
    handle = EngineHandle(child, Ready("", "cpu", "float32", 1, 1, 1), ORDER, limits)
    for _ in range(requests):
        submit(handle)
    for message in said:
        child.says.put_nowait(message)
    if not stops:
        child.says.put_nowait(None)
        await handle._pump
    else:
        await asyncio.sleep(0)
        child.says.put_nowait(None)
        await handle.stop()
    return handle.ended, handle.faults


TOKEN = StepResult([TokenOut(1, 0, 5, "length")], [], STATS)


@pytest.mark.parametrize(("said", "requests", "stops", "expected"), [
    ([TOKEN], 1, False, (1, 0)),
    ([Rejected(1, Failure.of(InvalidField("x")))], 1, False, (1, 0)),
    ([Rejected(1, Failure.of(InternalError("")))], 1, False, (1, 1)),
    ([TOKEN], 3, False, (3, 2)),  # two were lost with the process
    ([TOKEN], 3, True, (1, 0)),  # it was told to stop: nobody's fault
])  # fmt: skip
def test_counts(said, requests, stops, expected):
    assert asyncio.run(counts(*said, requests=requests, stops=stops)) == expected


class Process(Child):
    """A real one, that never says anything."""

    def __init__(self, code):
        super().__init__()
        self.process = subprocess.Popen([sys.executable, "-c", code])
        self.pid = self.process.pid

    def kill(self):
        self.process.kill()
        self.says.put_nowait(None)

    async def ended(self):
        return self.process.wait()


async def lived(code, seconds):
    """Whether a process that runs this outlives so many seconds of silence; the timeout is 0.4."""
    child = Process(code)
    limits = HandleLimits(max_generations=9, heartbeat_timeout=0.4, load_timeout=60.0)
    handle = EngineHandle(child, Ready("", "cpu", "float32", 1, 1, 1), ORDER, limits)
    done, _ = await asyncio.wait({handle._pump}, timeout=seconds)
    if not done:
        child.kill()
        await handle._pump
    return not done, handle._reason


def test_silent():
    """Who does nothing is killed soon; who computes is let finish a long step, and not for ever."""
    sleeps, spins = "import time; time.sleep(60)", "while True: pass"
    assert asyncio.run(lived(sleeps, 20)) == (False, "silent")
    assert asyncio.run(lived(spins, 1.5)) == (True, "ended")
    assert asyncio.run(lived(spins, 60)) == (False, "silent")


def test_cpu_seconds():
    assert device.cpu_seconds(os.getpid()) == pytest.approx(sum(os.times()[:2]), abs=0.1)
    assert device.cpu_seconds(2**22 + 1) == 0
