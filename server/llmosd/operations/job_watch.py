"""One durable job, from now to its end: queued, started, watched, paused, started again."""

import asyncio
import contextlib
import os
import signal
import sqlite3
from collections.abc import Awaitable, Callable

import structlog

from llmosd.errors import JobLost, LlmosError
from llmosd.full_disk import is_full, no_room
from llmosd.ipc import Failure
from llmosd.operations.journal import Journal
from llmosd.operations.slots import Slots
from llmosd.store.records import Phase
from llmosd.store.run_directory import EventReader, EventWriter, Order, RunDirectory
from llmosd.store.run_events import CheckpointEvent, JobEnd, PhaseEvent

_log = structlog.get_logger()
_POLL_SECONDS = 0.1
# Starts without a new checkpoint between them, before a job is given up.
_MOST_LOSSES = 3
_BACKOFF_SECONDS = 1.0
# A worker that was told to end and is in the middle of a long step.
_CANCEL_SECONDS = 30.0

StartWorker = Callable[[RunDirectory, Order, int, int], Awaitable[None]]
"""Start a worker: run directory, order, descriptor of the lock, last event number seen.

The worker writes its process id into the lock."""


class JobWatch:
    """Brings one job to its end."""

    def __init__(
        self,
        identifier: str,
        run: RunDirectory,
        journal: Journal,
        slots: Slots,
        start_worker: StartWorker,
        *,
        serving: Callable[[], bool],
        stopping: Callable[[], bool],
    ) -> None:
        self._id = identifier
        self._run = run
        self._journal = journal
        self._slots = slots
        self._start_worker = start_worker
        self._serving = serving
        self._stopping = stopping
        self._order = run.order()
        self._reader = EventReader(run)
        self._end: JobEnd | None = None
        self._losses = 0
        self._cancelled_at: float | None = None
        self._gave_way: bool | None = None
        self._fault: LlmosError | None = None

    async def until_end(self) -> JobEnd | None:
        """Start, watch, pause and start again until the job has ended; None: the daemon stops."""
        while True:
            if self._run.alive:
                self._slots.hold(self._id, self._order.resources)
                await self._until_worker_ends()
            if not await self._caught_up():
                return None
            if self._end is not None:
                return self._end
            self._slots.give_back(self._id)
            desired = self._run.control().desired
            if self._stopping():
                self._enter("PAUSED" if desired == "pause" else "QUEUED")
                return None
            if desired == "cancel":
                self._conclude(JobEnd("cancelled"))
            elif desired == "pause":
                self._slots.leave(self._id)
                self._enter("PAUSED")
                await self._slots.woken(self._id)
            elif self._losses > _MOST_LOSSES:
                lost = JobLost("the job's process ended again and again; the daemon's log has more")
                self._conclude(JobEnd("failed", failure=Failure.of(self._fault or lost)))
            else:
                await self._start()

    async def _start(self) -> None:
        """Wait for a place and start a worker, unless something else is wanted meanwhile."""
        if self._losses:
            _log.warning("job_worker_lost", operation=self._id, times=self._losses)
            await asyncio.sleep(_BACKOFF_SECONDS * self._losses)
        if self._stopping():
            return
        if not self._slots.try_take(self._id, self._order.resources):
            self._enter("QUEUED")
            await self._slots.woken(self._id)
            return
        lock = self._run.take_lock()
        if lock is None:
            return
        try:
            self._losses += 1
            # Whoever held it last is named there; the new one writes itself.
            self._run.record_worker(lock, 0)
            await self._start_worker(self._run, self._order, lock, self._seen())
        except OSError as error:  # no memory, no process, no disk: perhaps in a moment
            _log.warning("job_not_started", operation=self._id, error=str(error))
        finally:
            os.close(lock)

    async def _until_worker_ends(self) -> None:
        """Follow a worker. A full disk or too many open files are no reason to leave it alone."""
        while True:
            try:
                if not self._run.alive:
                    return
                self._ingest()
                self._give_way()
                self._enforce_cancel()
                self._fault = None
            except (OSError, sqlite3.Error) as error:
                if self._fault is None:
                    _log.warning("job_watch_disturbed", operation=self._id, error=str(error))
                self._fault = self._fault or _fault(error)
            await asyncio.sleep(_POLL_SECONDS)

    async def _caught_up(self) -> bool:
        """Read what is left of the events, however long that cannot be; False: the daemon stops."""
        while True:
            try:
                self._ingest()
            except (OSError, sqlite3.Error) as error:
                _log.warning("job_watch_disturbed", operation=self._id, error=str(error))
                if self._stopping():
                    return False
                await asyncio.sleep(_BACKOFF_SECONDS)
            else:
                return True

    def _give_way(self) -> None:
        serving = self._serving()
        if serving != self._gave_way:
            self._run.change_control(durable=False, give_way=serving)
            self._gave_way = serving

    def _ingest(self) -> None:
        lines = self._reader.peek()
        self._journal.copy(self._id, [at for at in lines if not isinstance(at.event, JobEnd)])
        self._reader.accept()
        for line in lines:
            if isinstance(line.event, JobEnd):
                self._end = line.event
            elif isinstance(line.event, CheckpointEvent):
                self._losses = 0
            elif isinstance(line.event, PhaseEvent) and line.event.phase == "RUNNING":
                self._journal.set_phase(self._id, "RUNNING")
            elif isinstance(line.event, PhaseEvent):
                # The phase itself changes once the process is gone, and its memory is back.
                self._losses = 0

    def _enforce_cancel(self) -> None:
        """End a worker that does not hear: it is cancelled, and there is nothing to save."""
        pid = self._run.worker_pid
        if pid is None or self._run.control().desired != "cancel":
            return
        now = asyncio.get_running_loop().time()
        self._cancelled_at = self._cancelled_at or now
        if now - self._cancelled_at > _CANCEL_SECONDS:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _enter(self, phase: Phase) -> None:
        """Say where the job stands, where no worker does."""
        if self._journal.table.get(self._id).phase != phase:
            self._journal.set_phase(self._id, phase)

    def _conclude(self, end: JobEnd) -> None:
        """Write the outcome for a job that has no worker; the next look at its events finds it."""
        lock = self._run.take_lock()
        if lock is None:
            return
        try:
            with contextlib.closing(EventWriter(self._run, self._seen())) as writer:
                writer.write(end, durable=True)
        except OSError:  # a full disk: the catalog's row says it, if there is room for that
            self._end = end
        finally:
            os.close(lock)

    def _seen(self) -> int:
        """The last event number that a watcher may have."""
        return self._journal.standing(self._id).sequence


def _fault(error: Exception) -> LlmosError | None:
    """What disturbs the watching, as an error for the user."""
    return no_room() if is_full(error) else None
