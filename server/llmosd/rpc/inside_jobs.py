"""Durable jobs that need no process: they wait for models, and compute nothing themselves.

Their run directory, lock and events are those of any other; the lock is this daemon's, so when it
dies they are free to be gone on with.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from llmosd.jobs.context import JobContext
from llmosd.jobs.outcome import outcome_of
from llmosd.operations.job_watch import StartWorker
from llmosd.store.run_directory import EventWriter, Order, RunDirectory
from llmosd.store.run_events import JobEnd, JobEvent, PhaseEvent

_log = structlog.get_logger()

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

    async def __call__(self, run: RunDirectory, order: Order, lock: int, after: int) -> None:
        """See StartWorker; no process id in the lock stands for this process."""
        job = self._kinds.get(order.kind)
        if job is None:
            await self._process(run, order, lock, after)
            return
        task = asyncio.create_task(self._run(job, run, order, os.dup(lock), after))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(
        self, job: InsideJob, run: RunDirectory, order: Order, lock: int, after: int
    ) -> None:
        try:
            with contextlib.closing(EventWriter(run, after)) as writer:
                context = JobContext(run, writer)
                self._contexts.add(context)
                try:
                    context.emit(PhaseEvent("RUNNING"))
                    context.emit(await _outcome(job, order, context), durable=True)
                finally:
                    self._contexts.discard(context)
        except OSError:  # a full disk: without an outcome it is started again
            _log.warning("job_outcome_not_written", exc_info=True)
        finally:
            os.close(lock)


async def _outcome(job: InsideJob, order: Order, context: JobContext) -> JobEvent:
    try:
        result = await job(order, context)
        return JobEnd("succeeded", result=msgspec.Raw(msgspec.json.encode(result)))
    except Exception as error:  # noqa: BLE001 - each kind of end is written down
        return outcome_of(error)
