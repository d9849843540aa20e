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
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import structlog

from llmosd.errors import InternalError, LlmosError, OperationCancelled, OperationEnded
from llmosd.ipc import Failure
from llmosd.operations.job_watch import JobWatch, StartWorker
from llmosd.operations.journal import Journal
from llmosd.operations.slots import Slots
from llmosd.store.records import OperationRecord, OperationState
from llmosd.store.run_directory import Order, RunDirectory
from llmosd.store.run_events import JobEnd

_log = structlog.get_logger()
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
        """Run directories are in `root`; `serving` says whether models answer somebody now."""
        self._root = root
        self._journal = journal
        self._start_worker = start_worker
        self._slots = slots
        self._serving = serving
        self._publish: dict[str, Publish] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self.on_stop: Callable[[], None] = lambda: None
        root.mkdir(parents=True, exist_ok=True, mode=0o750)

    def register(self, kind: str, publish: Publish) -> None:
        """Say what becomes of the results of a kind."""
        self._publish[kind] = publish

    def restore(self) -> None:
        """At start: take up every job that has not ended, and remove folders nobody knows."""
        for record in self._journal.table.unfinished():
            self._follow(record)
        for path in self._root.iterdir():
            if path.name.startswith("."):
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
                identifier, kind, target, request_id, payload_digest, durable=True
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
        run = self._change(identifier)
        run.change_control(saves=run.control().saves + 1)

    async def stop(self, grace: float) -> None:
        """Let every worker save and end; the next daemon goes on with them."""
        self._stopping = True
        self.on_stop()
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        for identifier in self._tasks:
            self._slots.wake(identifier)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks.values(), timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _change(self, identifier: str, **changes: object) -> RunDirectory:
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

    async def _bring_to_end(self, record: OperationRecord) -> None:
        identifier = record.operation_id
        state: OperationState = "FAILED"
        try:
            watch = JobWatch(
                identifier,
                self.directory(identifier),
                self._journal,
                self._slots,
                self._start_worker,
                serving=self._serving,
                stopping=lambda: self._stopping,
            )
            end = await watch.until_end()
            if end is None:  # the daemon stops; the job does not
                return
            state, payload = await self._outcome(record, end)
        except asyncio.CancelledError:
            return
        except LlmosError as error:
            payload = msgspec.msgpack.encode(Failure.of(error))
        except Exception:  # noqa: BLE001 - an operation always ends in a result
            _log.exception("operation_failed", operation=identifier, kind=record.kind)
            payload = msgspec.msgpack.encode(Failure.of(InternalError("")))
        finally:
            self._slots.release(identifier)
            del self._tasks[identifier]
        self._journal.finish(identifier, state, payload)
        _log.info("operation_ended", operation=identifier, kind=record.kind, state=state)

    async def _outcome(self, record: OperationRecord, end: JobEnd) -> tuple[OperationState, bytes]:
        if end.outcome == "succeeded":
            run = self.directory(record.operation_id)
            return "SUCCEEDED", await self._publish[record.kind](run, bytes(end.result))
        if end.outcome == "cancelled":
            error: LlmosError = OperationCancelled("the operation was cancelled")
            return "CANCELLED", msgspec.msgpack.encode(Failure.of(error))
        failure = end.failure or Failure.of(InternalError(""))
        return "FAILED", msgspec.msgpack.encode(failure)
