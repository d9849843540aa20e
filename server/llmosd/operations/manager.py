"""Runs and records operations. What they do comes as a coroutine; what they give back, as bytes.

Short ones run as tasks of this daemon and end with it; durable ones are `durable.DurableJobs`.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import structlog

from llmosd.errors import (
    InternalError,
    LlmosError,
    OperationCancelled,
    OperationInProgress,
    OperationInterrupted,
    RequestIdReused,
)
from llmosd.full_disk import is_full, no_room
from llmosd.ipc import Failure
from llmosd.operations.durable import DurableJobs
from llmosd.operations.journal import Journal, Standing, WatchEvent
from llmosd.operations.owner import SHARED, owner, request_key, seen
from llmosd.store.records import OperationRecord, OperationState
from llmosd.store.run_directory import Order
from llmosd.store.run_events import ProgressEvent

_log = structlog.get_logger()
# Kinds whose second call asks for what the first is doing.
_JOINED = SHARED

Report = Callable[[ProgressEvent], None]
Work = Callable[[Report], Awaitable[bytes]]


class OperationManager:
    """Operations of this daemon, by id."""

    def __init__(self, journal: Journal, durable: DurableJobs) -> None:
        """Operations that an earlier daemon left running are marked as interrupted."""
        self._journal = journal
        self._table = journal.table
        self._durable = durable
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self.check_job: Callable[[], None] = lambda: None
        interrupted = OperationInterrupted("the daemon stopped while this ran; start it again")
        self._table.interrupt_running(msgspec.msgpack.encode(Failure.of(interrupted)))

    def repeated(self, request_id: str, payload_digest: str) -> OperationRecord | None:
        """The operation that this very request made before, if any.

        Raises:
            RequestIdReused: the id came with another payload.
        """
        known = self._table.find_request(request_key(request_id)) if request_id else None
        if known is not None and known.payload_digest != payload_digest:
            raise RequestIdReused("request_id: was used with another payload; choose a new one")
        return known

    def start(
        self,
        kind: str,
        target: str,
        work: Work,
        *,
        request_id: str = "",
        payload_digest: str = "",
        exclusive: bool = True,
    ) -> OperationRecord:
        """Record an operation and run it.

        The same kind of exclusive work on the same target joins what runs; uploads never join.

        Raises:
            OperationInProgress: other work runs on the target.
            RequestIdReused: the id came with another payload.
        """
        known = self.repeated(request_id, payload_digest)
        if known is not None:
            return known
        for running in map(self._table.get, self._tasks if exclusive else ()):
            if running.target == target:
                if running.kind == kind and kind in _JOINED:
                    return running
                raise OperationInProgress(
                    f"operations/{running.operation_id} ({running.kind}) works on {target}",
                    metadata={"operation": f"operations/{running.operation_id}"},
                )
        identifier = secrets.token_hex(8)
        record = self._table.create(
            identifier,
            kind,
            target,
            request_key(request_id),
            payload_digest,
            tenant=owner().tenant,
        )
        self._tasks[identifier] = asyncio.create_task(self._run(identifier, kind, work))
        return record

    def start_job(
        self, kind: str, target: str, order: Order, *, request_id: str, payload_digest: str
    ) -> OperationRecord:
        """Record a durable job and queue it; raises RequestIdReused, and what check_job does."""
        known = self.repeated(request_id, payload_digest)
        if known is not None:
            return known
        self.check_job()
        return self._durable.create(kind, target, order, request_id, payload_digest)

    def ended_jobs(self) -> list[OperationRecord]:
        """Durable operations that have ended, whose folders may hold something."""
        return [each for each in self._table.page(1_000_000) if each.durable and each.end_time]

    def get(self, identifier: str) -> OperationRecord:
        """One operation; raises OperationNotFound."""
        return seen(self._table.get(identifier))

    def standing(self, identifier: str) -> Standing:
        """How far an operation is."""
        return self._journal.standing(identifier)

    def page(self, limit: int, after: int | None) -> list[OperationRecord]:
        """Operations, newest first."""
        now = owner()
        return self._table.page(limit, after, now.tenant if now.confined else None)

    def unfinished(self) -> list[OperationRecord]:
        """Durable jobs that have not ended, oldest first."""
        return self._table.unfinished()

    def delete(self, identifier: str) -> None:
        """Forget an ended operation; raises OperationNotFound, OperationRunning."""
        record = self.get(identifier)
        self._table.delete(identifier)
        if record.durable:
            self._durable.directory(identifier).delete()

    def cancel(self, identifier: str) -> None:
        """Ask an operation to stop; one that ended is left alone. Raises OperationNotFound."""
        if self.get(identifier).durable:
            self._durable.cancel(identifier)
        task = self._tasks.get(identifier)
        if task is not None:
            task.cancel()

    def pause(self, identifier: str) -> OperationRecord:
        """Ask a durable job to save and wait; raises OperationNotFound, OperationEnded."""
        self.get(identifier)
        self._durable.pause(identifier)
        return self._table.get(identifier)

    def resume(self, identifier: str) -> OperationRecord:
        """Let a paused job go on; raises OperationNotFound, OperationEnded."""
        self.get(identifier)
        self._durable.resume(identifier)
        return self._table.get(identifier)

    async def wait(self, identifier: str, seconds: float) -> OperationRecord:
        """The operation when it ends, or as it is after `seconds`."""
        self.get(identifier)
        task = self._tasks.get(identifier) or self._durable.task(identifier)
        if task is not None:
            await asyncio.wait([task], timeout=seconds)
        return self.get(identifier)

    async def watch(
        self, identifier: str, after_sequence: int, heartbeat: float
    ) -> AsyncIterator[WatchEvent]:
        """Replay events after a sequence number, then follow; ends after `done`."""
        self.get(identifier)
        async for event in self._journal.watch(identifier, after_sequence, heartbeat):
            if event.done is not None:  # who hears of the end may delete what the job read
                await self.wait(identifier, heartbeat)
            yield event

    async def stop(self, grace: float) -> None:
        """Cancel what runs, recorded as interrupted; let durable jobs save, to go on later."""
        self._stopping = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, self._durable.stop(grace), return_exceptions=True)

    async def _run(self, identifier: str, kind: str, work: Work) -> None:
        state: OperationState = "FAILED"
        payload = b""
        try:
            payload = await work(lambda progress: self._journal.report(identifier, progress))
            state = "SUCCEEDED"
        except asyncio.CancelledError:
            error: LlmosError = OperationCancelled("the operation was cancelled")
            state = "CANCELLED"
            if self._stopping:
                error = OperationInterrupted("the daemon stopped while this ran; start it again")
                state = "INTERRUPTED"
            payload = msgspec.msgpack.encode(Failure.of(error))
        except LlmosError as error:
            payload = msgspec.msgpack.encode(Failure.of(error))
        except Exception as failure:  # noqa: BLE001 - an operation always ends in a result
            _log.exception("operation_failed", operation=identifier, kind=kind)
            ours = no_room() if is_full(failure) else InternalError("")
            payload = msgspec.msgpack.encode(Failure.of(ours))
        finally:
            await self._journal.finish_surely(identifier, state, payload)
            _log.info("operation_ended", operation=identifier, kind=kind, state=state)
            del self._tasks[identifier]
