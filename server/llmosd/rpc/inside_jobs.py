"""Durable jobs that need no process: they wait for models, and compute nothing themselves.

Their run directory, lock and events are those of any other; the lock is this daemon's, so when it
dies they are free to be gone on with.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable

import msgspec

from llmosd.jobs.context import JobContext
from llmosd.jobs.outcome import outcome_of
from llmosd.operations.job_watch import StartWorker
from llmosd.store.run_directory import EventWriter, Order, RunDirectory
from llmosd.store.run_events import JobEnd, JobEvent, PhaseEvent

InsideJob = Callable[[Order, JobContext], Awaitable[object]]
"""A job: what was asked and its context in, the result out, as what msgspec can write as JSON."""


class JobStarter:
    """Starts a job inside, if its kind is known here, else a process for it."""

    def __init__(self, process: StartWorker) -> None:
        self._process = process
        self._kinds: dict[str, InsideJob] = {}
        self._contexts: set[JobContext] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def register(self, kind: str, job: InsideJob) -> None:
        """Say what a kind does."""
        self._kinds[kind] = job

    def stop(self) -> None:
        """Let all jobs inside save and end."""
        for context in self._contexts:
            context.stop()

    async def __call__(self, run: RunDirectory, order: Order, lock: int, after: int) -> int:
        """See StartWorker; 0 stands for this process."""
        job = self._kinds.get(order.kind)
        if job is None:
            return await self._process(run, order, lock, after)
        task = asyncio.create_task(self._run(job, run, order, os.dup(lock), after))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return 0

    async def _run(
        self, job: InsideJob, run: RunDirectory, order: Order, lock: int, after: int
    ) -> None:
        try:
            with contextlib.closing(EventWriter(run, after)) as writer:
                context = JobContext(run, writer)
                self._contexts.add(context)
                context.emit(PhaseEvent("RUNNING"))
                context.emit(await _outcome(job, order, context), durable=True)
                self._contexts.discard(context)
        finally:
            os.close(lock)


async def _outcome(job: InsideJob, order: Order, context: JobContext) -> JobEvent:
    try:
        result = await job(order, context)
        return JobEnd("succeeded", result=msgspec.Raw(msgspec.json.encode(result)))
    except Exception as error:  # noqa: BLE001 - each kind of end is written down
        return outcome_of(error)
