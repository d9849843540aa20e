"""What an engine's handle counts: requests that ended, and those that the engine is to blame for."""

import asyncio

import pytest

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
