"""When the spare engine starts: not beside the first answers of a model that was just loaded."""

import asyncio

import pytest

from llmosd.supervisor import launcher as module
from llmosd.supervisor.launcher import LocalLauncher


class Engine:
    """Stands for a child process."""

    exited = False

    def __init__(self, name):
        self.name = name

    def kill(self):
        self.exited = True

    async def ended(self):
        return 0


@pytest.fixture
def begun(monkeypatch):
    """The names of engines that were started, and none of them really."""
    names = []

    async def spawn(_, name):
        names.append(name)
        return Engine(name)

    monkeypatch.setattr(LocalLauncher, "_spawn", spawn)
    monkeypatch.setattr(module, "_CALM_SECONDS", 0.1)
    monkeypatch.setattr(module, "_LATEST_SECONDS", 1.0)
    return names


def launcher(tmp_path):
    return LocalLauncher(tmp_path, 1, keep_spare=True)


def test_at_once_where_nobody_waits(begun, tmp_path):
    async def run():
        launcher(tmp_path).prepare()
        await asyncio.sleep(0.02)
        assert begun == ["spare"]

    asyncio.run(run())


def test_when_it_is_calm(begun, tmp_path):
    """Then a launch takes it."""

    async def run():
        busy, made = True, launcher(tmp_path)
        made.prepare(lambda: busy)
        await asyncio.sleep(0.4)
        assert begun == []
        busy = False
        await asyncio.sleep(0.3)
        assert begun == ["spare"]
        assert (await made.launch("model")).name == "model"
        assert begun == ["spare"]

    asyncio.run(run())


def test_in_the_end_anyway(begun, tmp_path):
    async def run():
        launcher(tmp_path).prepare(lambda: True)
        await asyncio.sleep(1.3)
        assert begun == ["spare"]

    asyncio.run(run())


def test_nobody_waits_for_one_that_has_not_begun(begun, tmp_path):
    """A launch starts an engine of its own, and giving back is at once."""

    async def run():
        made = launcher(tmp_path)
        made.prepare(lambda: True)
        async with asyncio.timeout(0.5):
            assert (await made.launch("model")).name == "model"
            made.prepare(lambda: True)
            await made.release()
        await asyncio.sleep(1.3)
        assert begun == ["model"]

    asyncio.run(run())
