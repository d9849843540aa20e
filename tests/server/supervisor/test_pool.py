"""Versions that leave memory: not while a request has been promised them."""

import asyncio
from types import SimpleNamespace

import pytest

from llmosd.config import Config
from llmosd.supervisor.pool import ModelPool
from llmosd.supervisor.resident import State
from llmosd.supervisor.stage import Stage

RECORD = SimpleNamespace(name="models/m/versions/1", model_id="m", version=1)


class Engine:
    """A handle that runs nothing."""

    num_generations = ended = faults = pid = 0

    def __init__(self):
        self.stopped = False

    async def wait_idle(self, _seconds):
        await asyncio.sleep(0)

    async def stop(self):
        self.stopped = True


def pool_with(engine):
    config = Config(device="cpu")
    pool = ModelPool(config, Stage(config, None, None, lambda: 0, None))
    resident = pool.want(RECORD, -1.0, "float32")
    resident.handle, resident.state = engine, State.LOADED
    return pool


async def moments():
    await asyncio.sleep(0.1)


@pytest.mark.parametrize("hold", ["block", "call", "generation", None])
def test_retired_when_nothing_needs_it(hold):
    """Pinned, or busy: it stays; without either, the control, it goes at once."""

    async def run():
        engine = Engine()
        pool = pool_with(engine)
        release = asyncio.Event()

        async def request():
            if hold == "call":
                pool.pins.hold(RECORD)
                await release.wait()
            elif hold == "block":
                with pool.pins.kept(RECORD):
                    await release.wait()

        asking = asyncio.create_task(request())
        await asyncio.sleep(0)
        engine.num_generations = int(hold == "generation")
        retiring = asyncio.create_task(pool.retire(RECORD, lambda: False))
        await moments()
        assert retiring.done() == (hold is None)
        if hold is not None:
            assert await pool.acquire(RECORD) is engine  # what was promised is there
        release.set()
        engine.num_generations = 0
        await asking
        assert await retiring
        assert engine.stopped
        assert pool.resident(RECORD) is None

    asyncio.run(run())


def test_wanted_again():
    """Who is wanted again before the last request has ended stays."""

    async def run():
        engine = Engine()
        pool = pool_with(engine)
        wanted = []
        with pool.pins.kept(RECORD):
            retiring = asyncio.create_task(pool.retire(RECORD, lambda: bool(wanted)))
            await moments()
            wanted.append(True)
        assert not await retiring
        assert await pool.acquire(RECORD) is engine

    asyncio.run(run())


def test_pinned_ones_are_not_evicted():
    async def run():
        engine = Engine()
        pool = pool_with(engine)
        resident = pool.resident(RECORD)
        assert pool.stage.evictable(resident)
        with pool.pins.kept(RECORD), pool.pins.kept(RECORD):
            assert not pool.stage.evictable(resident)
        assert pool.stage.evictable(resident)
        assert RECORD.name not in pool.pins

    asyncio.run(run())
