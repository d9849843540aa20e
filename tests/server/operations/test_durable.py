"""Durable jobs, with real processes and a daemon's part that comes and goes."""

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from llmosd.errors import InsufficientDisk, OperationEnded, OperationRunning, RequestIdReused
from llmosd.ipc import Failure
from llmosd.operations import job_watch, journal, slots
from llmosd.operations.durable import DurableJobs
from llmosd.operations.journal import Journal
from llmosd.operations.manager import OperationManager
from llmosd.operations.slots import Slots
from llmosd.store.catalog import Catalog
from llmosd.store.run_directory import EventWriter, Order, Resources, RunDirectory
from llmosd.store.run_events import MetricEvent

SCRIPT = Path(__file__).with_name("job_script.py")


async def start_script(run, order, lock, after):
    arguments = [sys.executable, str(SCRIPT), str(run.path), str(lock), str(after)]
    with (run.path / "stderr.log").open("ab") as log:
        # Not asyncio's: an adopted worker is nobody's child.
        process = subprocess.Popen(  # noqa: ASYNC220
            arguments, pass_fds=[lock], stderr=log, start_new_session=True
        )
    asyncio.get_running_loop().run_in_executor(None, process.wait)
    return process.pid


class Front:
    """The daemon's part; `die` is what kill -9 does to it."""

    def __init__(self, folder, *, places=1, serving=lambda: False):
        self.catalog = Catalog(folder / "catalog.db")
        self.journal = Journal(self.catalog.operations)
        slots = Slots(places, lambda: 1 << 40)
        self.jobs = DurableJobs(
            folder / "operations", self.journal, start_script, slots, serving=serving
        )
        self.published = []

        async def publish(run, result):
            self.published.append(msgspec.json.decode(result))
            return b"packed"

        self.jobs.register("count", publish)
        self.operations = OperationManager(self.journal, self.jobs)
        self.jobs.restore()

    def start(self, request_id="", **job):
        order = Order(resources=Resources(), job=msgspec.Raw(msgspec.json.encode(job)))
        digest = msgspec.json.encode(job).decode()
        return self.operations.start_job(
            "count", "models/m", order, request_id=request_id, payload_digest=digest
        ).operation_id

    async def die(self):
        tasks = list(self.jobs._tasks.values())
        self.jobs._stopping = True
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.catalog.close()

    def steps(self, identifier):
        events = self.catalog.operations.events(identifier, 0, 10_000)
        assert [e.sequence for e in events] == list(range(1, len(events) + 1))
        decoded = [msgspec.json.decode(e.payload) for e in events]
        return [e["step"] for e in decoded if e["type"] == "metric"]


@pytest.fixture
async def front(tmp_path):
    front = Front(tmp_path)
    yield front
    await front.operations.stop(5)
    front.catalog.close()


async def until(condition, seconds=20):
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_to_the_end_and_watched(front):
    """All events in order, then done; the result is what the publisher made."""
    identifier = front.start(steps=20)
    seen = [event async for event in front.operations.watch(identifier, 0, 5.0) if event.sequence]
    assert [e.sequence for e in seen] == list(range(1, len(seen) + 1))
    assert [e.event.step for e in seen if isinstance(e.event, MetricEvent)] == list(range(1, 21))
    assert seen[-1].done.state == "SUCCEEDED"
    assert front.operations.get(identifier).result == b"packed"
    assert front.published == [{"counted": 20}]
    late = [e async for e in front.operations.watch(identifier, 10, 5.0)]
    assert [e.sequence for e in late] == [e.sequence for e in seen[10:]]


async def test_who_hears_of_the_end_may_delete_what_was_read(front, monkeypatch):
    """However long the run directory takes to clear: nothing counts as read after `done`."""
    clear = RunDirectory.clear

    def slow(run):
        time.sleep(0.5)
        clear(run)

    monkeypatch.setattr(RunDirectory, "clear", slow)
    identifier = front.start(steps=1)
    async for event in front.operations.watch(identifier, 0, 5.0):
        if event.done is not None:
            assert not front.jobs.running(identifier)


async def test_a_lost_worker_is_started_again(front, monkeypatch):
    """kill -9 in the middle: no step is missing, none is told twice."""
    monkeypatch.setattr(job_watch, "_BACKOFF_SECONDS", 0.0)
    identifier = front.start(steps=30, die_at=12)
    record = await front.operations.wait(identifier, 30)
    assert record.state == "SUCCEEDED"
    assert front.steps(identifier) == list(range(1, 31))


async def test_a_worker_that_is_always_lost_is_given_up(front, monkeypatch):
    """With JOB_LOST, and not for ever."""
    monkeypatch.setattr(job_watch, "_BACKOFF_SECONDS", 0.0)
    identifier = front.start(steps=30, die_at=3, always=True)
    record = await front.operations.wait(identifier, 30)
    assert record.state == "FAILED"
    assert msgspec.msgpack.decode(record.result, type=Failure).reason == "JOB_LOST"


async def test_the_daemon_dies_and_the_job_goes_on(tmp_path):
    """The next daemon adopts the worker: same process, no gap, no repetition."""
    first = Front(tmp_path)
    identifier = first.start(steps=40, seconds=0.05)
    await until(lambda: len(first.steps(identifier)) >= 3)
    pid = first.jobs.processes()[0]
    await first.die()
    second = Front(tmp_path)
    assert second.jobs.processes() == [pid]
    record = await second.operations.wait(identifier, 30)
    assert record.state == "SUCCEEDED"
    assert second.steps(identifier) == list(range(1, 41))
    assert second.jobs.processes() == []
    second.catalog.close()


async def test_an_end_that_no_daemon_saw(tmp_path):
    """The worker ends while there is no daemon: the next one finds the result."""
    first = Front(tmp_path)
    identifier = first.start(steps=10, seconds=0.02)
    await until(lambda: len(first.steps(identifier)) >= 2)
    run = first.jobs.directory(identifier)
    await first.die()
    await until(lambda: not run.alive)
    second = Front(tmp_path)
    record = await second.operations.wait(identifier, 10)
    assert record.state == "SUCCEEDED"
    assert second.steps(identifier) == list(range(1, 11))
    second.catalog.close()


async def test_an_orderly_stop_is_gone_on_with(tmp_path):
    """SIGTERM lets the worker save; the job is queued for the next daemon."""
    first = Front(tmp_path)
    identifier = first.start(steps=200, seconds=0.02)
    await until(lambda: len(first.steps(identifier)) >= 2)
    await first.operations.stop(10)
    assert first.operations.get(identifier).phase == "QUEUED"
    assert not first.jobs.directory(identifier).alive
    first.catalog.close()
    second = Front(tmp_path)
    await until(lambda: second.operations.get(identifier).phase == "RUNNING")
    second.operations.cancel(identifier)
    record = await second.operations.wait(identifier, 10)
    assert record.state == "CANCELLED"
    steps = second.steps(identifier)
    assert steps == list(range(1, len(steps) + 1))
    second.catalog.close()


async def test_pause_and_resume(tmp_path):
    """A paused job has no process, stays paused over a restart, and goes on where it was."""
    first = Front(tmp_path)
    identifier = first.start(steps=60, seconds=0.02)
    await until(lambda: len(first.steps(identifier)) >= 3)
    first.operations.pause(identifier)
    await until(lambda: first.operations.get(identifier).phase == "PAUSED")
    assert first.jobs.processes() == []
    before = first.steps(identifier)
    await first.die()
    second = Front(tmp_path)
    for _ in range(10):  # it was restored in the first of them
        await asyncio.sleep(0.05)
        assert second.operations.get(identifier).phase == "PAUSED"
        assert second.jobs.processes() == []
    second.operations.resume(identifier)
    record = await second.operations.wait(identifier, 20)
    assert record.state == "SUCCEEDED"
    assert len(before) < 60
    assert second.steps(identifier) == list(range(1, 61))
    with pytest.raises(OperationEnded):
        second.operations.pause(identifier)
    second.catalog.close()


async def test_cancel_in_every_phase(front):
    """Running, queued behind it, and paused: all end, and none takes the other's place."""
    running = front.start(steps=1000, seconds=0.02)
    queued = front.start(steps=5)
    await until(lambda: len(front.steps(running)) >= 2)
    assert front.operations.get(queued).phase == "QUEUED"
    with pytest.raises(OperationRunning):
        front.operations.delete(queued)
    front.operations.cancel(queued)
    assert (await front.operations.wait(queued, 10)).state == "CANCELLED"
    front.operations.pause(running)
    await until(lambda: front.operations.get(running).phase == "PAUSED")
    front.operations.cancel(running)
    assert (await front.operations.wait(running, 10)).state == "CANCELLED"
    front.operations.delete(running)
    assert not front.jobs.directory(running).path.exists()


async def test_jobs_take_turns(front):
    """One place: the second begins when the first has ended."""
    first, second = front.start(steps=20, seconds=0.02), front.start(steps=3)
    await until(lambda: front.steps(first))
    assert front.steps(second) == []
    assert (await front.operations.wait(second, 20)).state == "SUCCEEDED"
    assert front.operations.get(first).state == "SUCCEEDED"
    assert front.operations.get(first).end_time < front.operations.get(second).end_time


async def test_those_that_wait_keep_their_turn(front, monkeypatch):
    """Three in a queue: they begin in the order they came, and none spins meanwhile."""
    monkeypatch.setattr(slots, "_LOOK_AGAIN_SECONDS", 0.05)
    looks = 0
    take = Slots.try_take

    def counted(self, *arguments):
        nonlocal looks
        looks += 1
        return take(self, *arguments)

    monkeypatch.setattr(Slots, "try_take", counted)
    jobs = [front.start(steps=40, seconds=0.02), *(front.start(steps=2) for _ in range(3))]
    await until(lambda: front.steps(jobs[0]))
    front.operations.pause(jobs[2])  # whoever pauses loses its turn
    await until(lambda: front.operations.get(jobs[2]).phase == "PAUSED")
    front.operations.resume(jobs[2])
    for job in jobs:
        assert (await front.operations.wait(job, 20)).state == "SUCCEEDED"
    ended = sorted(jobs, key=lambda job: front.operations.get(job).end_time)
    assert ended == [jobs[0], jobs[1], jobs[3], jobs[2]]
    assert looks < 400  # every 50 ms, four jobs, some seconds; it was thousands


async def test_an_adopted_job_keeps_its_place(tmp_path):
    """After a restart, one that waited does not begin beside one that runs."""
    first = Front(tmp_path)
    waits = first.start(steps=1000, seconds=0.02)
    await until(lambda: first.steps(waits))
    first.operations.pause(waits)
    await until(lambda: first.operations.get(waits).phase == "PAUSED")
    runs = first.start(steps=60, seconds=0.05)
    await until(lambda: len(first.steps(runs)) >= 2)
    first.operations.resume(waits)
    await first.die()
    second = Front(tmp_path)
    for _ in range(10):
        await asyncio.sleep(0.05)
        assert len(second.jobs.processes()) == 1
    assert (await second.operations.wait(runs, 20)).state == "SUCCEEDED"
    second.operations.cancel(waits)
    assert (await second.operations.wait(waits, 20)).state == "CANCELLED"
    second.catalog.close()


async def test_a_disturbed_daemon_does_not_leave_a_worker_alone(front, monkeypatch):
    """Too many open files, a full disk: the job is followed to its end, and loses no event."""
    identifier = front.start(steps=40, seconds=0.02)
    await until(lambda: len(front.steps(identifier)) >= 3)
    copy = Journal.copy
    wrong = iter([OSError(28, "No space left"), sqlite3.OperationalError("database is full")] * 5)

    def disturbed(self, *arguments):
        error = next(wrong, None)
        if error is not None:
            raise error
        copy(self, *arguments)

    monkeypatch.setattr(Journal, "copy", disturbed)
    record = await front.operations.wait(identifier, 20)
    assert record.state == "SUCCEEDED"
    assert front.steps(identifier) == list(range(1, 41))


async def test_a_result_waits_for_room(front, monkeypatch):
    """What was computed is not lost because the disk is full when it is to be published."""
    monkeypatch.setattr(journal, "_RETRY_SECONDS", 0.1)
    publish = front.jobs._publish["count"]
    of_sqlite = sqlite3.OperationalError("database or disk is full")
    of_sqlite.sqlite_errorcode = sqlite3.SQLITE_FULL
    full = iter([OSError(28, "No space left"), of_sqlite, InsufficientDisk("")])

    async def refused(run, result):
        error = next(full, None)
        if error is not None:
            raise error
        return await publish(run, result)

    front.jobs.register("count", refused)
    identifier = front.start(steps=3)
    assert (await front.operations.wait(identifier, 20)).state == "SUCCEEDED"
    assert front.published == [{"counted": 3}]


async def test_a_request_id_makes_one_job(front):
    """Twice the same is one job; another payload under the id is refused."""
    assert front.start("r", steps=2) == front.start("r", steps=2)
    with pytest.raises(RequestIdReused):
        front.start("r", steps=3)


async def test_it_gives_way(tmp_path):
    """While models answer, a job works for a quarter of the time, and goes on at once after."""
    serving = True
    front = Front(tmp_path, serving=lambda: serving)
    identifier = front.start(steps=100_000, seconds=0.02)
    await until(lambda: len(front.steps(identifier)) >= 10)
    slow, fast = [], []
    for times in (slow, fast):
        start = len(front.steps(identifier))
        began = asyncio.get_running_loop().time()
        await until(lambda start=start: len(front.steps(identifier)) >= start + 15, 60)
        times.append(asyncio.get_running_loop().time() - began)
        serving = False
        await asyncio.sleep(0.5)
    # Four times as long, less what a busy machine adds to both.
    assert slow[0] > 1.5 * fast[0]
    await front.operations.stop(5)
    front.catalog.close()


async def test_numbers_are_given_once(front, tmp_path):
    """Lines that a power cut took are not numbered again; a torn line is cut off."""
    identifier = front.start(steps=3)
    await front.operations.wait(identifier, 10)
    run = front.jobs.directory(identifier)
    with (run.path / "events.jsonl").open("ab") as file:
        file.write(b'{"sequence": 99, "torn')
    with contextlib.closing(EventWriter(run, after=50)) as writer:
        writer.write(MetricEvent(1, "training", {}))
        with (run.path / "events.jsonl").open("rb") as file:
            last = file.read().splitlines()[-1]
    assert msgspec.json.decode(last)["sequence"] == 51


async def test_a_worker_that_does_not_hear_is_ended(front, monkeypatch):
    """Cancelled, and stopped in the middle of a step: it is killed after a while."""
    monkeypatch.setattr(job_watch, "_CANCEL_SECONDS", 0.3)
    identifier = front.start(steps=1000, seconds=0.02)
    await until(lambda: front.steps(identifier))
    os.kill(front.jobs.processes()[0], signal.SIGSTOP)
    front.operations.cancel(identifier)
    assert (await front.operations.wait(identifier, 10)).state == "CANCELLED"
