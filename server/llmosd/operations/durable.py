"""Jobs that survive this daemon: started, watched, adopted, paused and brought to their end.

A job is a run directory and, while it runs, a process that holds its lock. Nothing here is needed
for the job to go on: after a restart the same folder is found, and whoever holds its lock is
watched as before, or started again where nobody does.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import msgspec
import structlog

from llmosd.errors import (
    InsufficientDisk,
    InternalError,
    LlmosError,
    OperationCancelled,
    OperationEnded,
)
from llmosd.full_disk import is_full, no_room
from llmosd.ipc import Failure
from llmosd.operations.job_watch import JobWatch, StartWorker
from llmosd.operations.journal import Journal
from llmosd.operations.owner import Owner, act_for, owner, request_key
from llmosd.operations.slots import Slots
from llmosd.store.records import OperationRecord, OperationState
from llmosd.store.run_directory import Order, RunDirectory
from llmosd.store.run_events import JobEnd, WarningEvent

_log = structlog.get_logger()
_STOP_AGAIN_SECONDS = 0.5
Publish = Callable[[RunDirectory, bytes], Awaitable[bytes]]
"""Makes the response, a serialized Any, of a result; may be called twice for one operation."""


class DurableJobs:
    """The durable operations of this daemon."""

    def __init__(
        self,
        root: Path,
        journal: Journal,
        start_worker: StartWorker,
        slots: Slots,
        *,
        serving: Callable[[], bool] = lambda: False,
    ) -> None:
        """Run directories are in `root`; `serving` says whether models answer somebody now.

        What an ended job left is removed under the lock `clearing`.
        """
        self._root = root
        self._journal = journal
        self._start_worker = start_worker
        self._slots = slots
        self._serving = serving
        self._publish: dict[str, Publish] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self.clearing: AbstractAsyncContextManager[object] = asyncio.Lock()
        self.on_change: Callable[[], None] = lambda: None
        self.on_stop: Callable[[], None] = lambda: None
        root.mkdir(parents=True, exist_ok=True, mode=0o750)

    def register(self, kind: str, publish: Publish) -> None:
        """Say what becomes of the results of a kind."""
        self._publish[kind] = publish

    def restore(self) -> None:
        """At start: take up every job that has not ended, and remove folders nobody knows."""
        unfinished = self._journal.table.unfinished()
        for record in unfinished:
            run = self.directory(record.operation_id)
            with contextlib.suppress(OSError, LlmosError):
                if run.alive:  # counted before anybody else takes its place
                    self._slots.hold(record.operation_id, run.order().resources)
        for record in unfinished:
            self._follow(record)
        for path in self._root.iterdir():
            if not self._journal.table.knows(path.name):
                RunDirectory(path).delete()

    def processes(self) -> list[int]:
        """Process ids of the workers."""
        pids = (self.directory(identifier).worker_pid for identifier in self._tasks)
        return [pid for pid in pids if pid is not None]

    def directory(self, identifier: str) -> RunDirectory:
        """The run directory of an operation."""
        return RunDirectory(self._root / identifier)

    def create(
        self, kind: str, target: str, order: Order, request_id: str, payload_digest: str
    ) -> OperationRecord:
        """Record a job, durably, and queue it."""
        identifier = secrets.token_hex(8)
        run = RunDirectory.create(self._root / identifier, order)
        try:
            record = self._journal.table.create(
                identifier,
                kind,
                target,
                request_key(request_id),
                payload_digest,
                durable=True,
                tenant=owner().tenant,
            )
        except BaseException:
            run.delete()
            raise
        self._follow(record)
        return record

    def reads(self) -> set[str]:
        """Names of the resources that jobs which have not ended need."""
        return {name for each in self._tasks for name in self.directory(each).order().reads}

    def running(self, identifier: str) -> bool:
        """Whether the operation has not ended."""
        return identifier in self._tasks

    @property
    def num_running(self) -> int:
        """Jobs that have not ended."""
        return len(self._tasks)

    def task(self, identifier: str) -> "asyncio.Task[None] | None":
        """What ends when the operation does."""
        return self._tasks.get(identifier)

    def cancel(self, identifier: str) -> None:
        """Ask a job to save and end; one that has ended is left alone."""
        if self.running(identifier):
            self.directory(identifier).change_control(desired="cancel")
            self._slots.wake(identifier)

    def pause(self, identifier: str) -> None:
        """Ask a job to save and give its processor and memory back. Raises OperationEnded."""
        self._change(identifier, desired="pause")

    def resume(self, identifier: str) -> None:
        """Queue a paused job again. Raises OperationEnded."""
        self._change(identifier, desired="run")

    def save(self, identifier: str) -> None:
        """Ask for a checkpoint now. Raises OperationEnded."""
        self._change(identifier, saves=self.directory(identifier).control().saves + 1)

    async def stop(self, grace: float) -> None:
        """Let every worker save and end; the next daemon goes on with them."""
        self._stopping = True
        loop = asyncio.get_running_loop()
        until = loop.time() + grace
        while self._tasks and loop.time() < until:
            self.on_stop()
            for pid in self.processes():  # again: one may have been about to start
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            for identifier in self._tasks:
                self._slots.wake(identifier)
            await asyncio.wait(self._tasks.values(), timeout=_STOP_AGAIN_SECONDS)
        late = list(self._tasks.values())
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _change(self, identifier: str, **changes: Any) -> RunDirectory:
        self._journal.table.get(identifier)
        if not self.running(identifier):
            raise OperationEnded(f"operations/{identifier} has ended, or cannot be paused")
        run = self.directory(identifier)
        if run.control().desired == "cancel":
            raise OperationEnded(f"operations/{identifier} is being cancelled")
        run.change_control(**changes)
        self._slots.wake(identifier)
        return run

    def _follow(self, record: OperationRecord) -> None:
        task = asyncio.create_task(self._bring_to_end(record))
        self._tasks[record.operation_id] = task
        self.on_change()

    async def _bring_to_end(self, record: OperationRecord) -> None:
        identifier = record.operation_id
        # After a restart, too: what a job starts is its owner's.
        act_for(Owner(record.tenant, confined=bool(record.tenant)))
        try:
            ended = await self._ended(record)
            if ended is not None:
                await self._write_down(record, *ended)
        except asyncio.CancelledError:  # the daemon stops; the job does not
            return
        finally:
            self._slots.leave(identifier)
            del self._tasks[identifier]
            self.on_change()

    async def _ended(self, record: OperationRecord) -> tuple[OperationState, bytes] | None:
        """How the job ended; None: it did not, the daemon stops."""
        try:
            run = self.directory(record.operation_id)
            watch = JobWatch(
                record.operation_id,
                run,
                self._journal,
                self._slots,
                self._start_worker,
                serving=self._serving,
                stopping=lambda: self._stopping,
            )
            end = await watch.until_end()
            if end is None:
                return None
            return await self._outcome(record, end)
        except LlmosError as error:
            return "FAILED", msgspec.msgpack.encode(Failure.of(error))
        except Exception:  # noqa: BLE001 - an operation always ends in a result
            _log.exception("operation_failed", operation=record.operation_id, kind=record.kind)
            self._end_worker(record.operation_id)
            return "FAILED", msgspec.msgpack.encode(Failure.of(InternalError("")))

    async def _write_down(
        self, record: OperationRecord, state: OperationState, payload: bytes
    ) -> None:
        await self._journal.finish_surely(record.operation_id, state, payload)
        _log.info("operation_ended", operation=record.operation_id, kind=record.kind, state=state)
        if state == "SUCCEEDED":
            async with self.clearing:
                await asyncio.to_thread(self.directory(record.operation_id).clear)

    async def _outcome(self, record: OperationRecord, end: JobEnd) -> tuple[OperationState, bytes]:
        if end.outcome == "succeeded":
            return "SUCCEEDED", await self._published(record, bytes(end.result))
        if end.outcome == "cancelled":
            error: LlmosError = OperationCancelled("the operation was cancelled")
            return "CANCELLED", msgspec.msgpack.encode(Failure.of(error))
        failure = end.failure or Failure.of(InternalError(""))
        return "FAILED", msgspec.msgpack.encode(failure)

    async def _published(self, record: OperationRecord, result: bytes) -> bytes:
        """The response; what the job computed is not lost because there is no room for it now."""
        run = self.directory(record.operation_id)
        warned = False
        while True:
            try:
                return await self._publish[record.kind](run, result)
            except (OSError, sqlite3.Error, InsufficientDisk) as error:
                if not isinstance(error, InsufficientDisk) and not is_full(error):
                    raise
                if run.control().desired == "cancel":
                    raise no_room() from None
                if not warned:
                    message = "the disk is full; the result is published when there is room"
                    with contextlib.suppress(sqlite3.Error):  # next time, perhaps
                        self._journal.append(record.operation_id, WarningEvent(message))
                        warned = True
                await self._journal.wait_for_room()

    def _end_worker(self, identifier: str) -> None:
        """No operation ends while its worker goes on."""
        with contextlib.suppress(OSError):
            pid = self.directory(identifier).worker_pid
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
