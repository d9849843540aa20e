"""Runs and records operations. What they do comes as a coroutine; what they give back, as bytes."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import NamedTuple

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
from llmosd.ipc import Failure
from llmosd.store.operations import OperationTable
from llmosd.store.records import OperationRecord, OperationState, now

_log = structlog.get_logger()
_PAGE = 256
# Kinds whose second call asks for what the first is doing.
_JOINED = frozenset({"load-model", "unload-model"})


class ProgressEvent(msgspec.Struct, frozen=True):
    """How far an operation is; see progress.Progress."""

    stage: str
    completed: int = 0
    total: int = 0
    unit: str = ""


class WatchEvent(NamedTuple):
    """What a watcher sees. `done` has no progress; a heartbeat has sequence 0 and neither."""

    sequence: int
    time: datetime
    progress: ProgressEvent | None
    done: OperationRecord | None


Report = Callable[[ProgressEvent], None]
Work = Callable[[Report], Awaitable[bytes]]


class OperationManager:
    """Operations of this daemon, by id."""

    def __init__(self, table: OperationTable) -> None:
        """Operations that an earlier daemon left running are marked as interrupted."""
        self._table = table
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._changed: dict[str, asyncio.Event] = {}
        self._stopping = False
        interrupted = OperationInterrupted("the daemon stopped while this ran; start it again")
        table.interrupt_running(msgspec.msgpack.encode(Failure.of(interrupted)))

    def repeated(self, request_id: str, payload_digest: str) -> OperationRecord | None:
        """The operation that this very request made before, if any.

        Raises:
            RequestIdReused: the id came with another payload.
        """
        known = self._table.find_request(request_id) if request_id else None
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
        record = self._table.create(identifier, kind, target, request_id, payload_digest)
        self._changed[identifier] = asyncio.Event()
        self._tasks[identifier] = asyncio.create_task(self._run(identifier, kind, work))
        return record

    def get(self, identifier: str) -> OperationRecord:
        """One operation; raises OperationNotFound."""
        return self._table.get(identifier)

    def last_progress(self, identifier: str) -> tuple[int, ProgressEvent | None]:
        """The newest event's sequence number and content; 0 and None before the first."""
        last = self._table.last_event(identifier)
        if last is None:
            return 0, None
        return last.sequence, msgspec.msgpack.decode(last.payload, type=ProgressEvent)

    def page(self, limit: int, after: int | None) -> list[OperationRecord]:
        """Operations, newest first."""
        return self._table.page(limit, after)

    def delete(self, identifier: str) -> None:
        """Forget an ended operation; raises OperationNotFound, OperationRunning."""
        self._table.delete(identifier)

    def cancel(self, identifier: str) -> None:
        """Ask an operation to stop; one that ended is left alone. Raises OperationNotFound."""
        self._table.get(identifier)
        task = self._tasks.get(identifier)
        if task is not None:
            task.cancel()

    async def wait(self, identifier: str, seconds: float) -> OperationRecord:
        """The operation when it ends, or as it is after `seconds`."""
        task = self._tasks.get(identifier)
        if task is not None:
            await asyncio.wait([task], timeout=seconds)
        return self._table.get(identifier)

    async def watch(
        self, identifier: str, after_sequence: int, heartbeat: float
    ) -> AsyncIterator[WatchEvent]:
        """Replay events after a sequence number, then follow; ends after `done`."""
        seen = after_sequence
        while True:
            changed = self._changed.get(identifier)  # taken before reading: nothing is missed
            record = self._table.get(identifier)
            events = self._table.events(identifier, seen, _PAGE)
            for event in events:
                seen = event.sequence
                progress = msgspec.msgpack.decode(event.payload, type=ProgressEvent)
                yield WatchEvent(event.sequence, event.create_time, progress, None)
            if len(events) == _PAGE:
                continue
            if record.end_time is not None:
                yield WatchEvent(seen + 1, record.end_time, None, record)
                return
            try:
                async with asyncio.timeout(heartbeat):
                    await (changed or asyncio.Event()).wait()
            except TimeoutError:
                yield WatchEvent(0, now(), None, None)

    async def stop(self) -> None:
        """Cancel what runs; it is recorded as interrupted."""
        self._stopping = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _notify(self, identifier: str) -> None:
        """Wake all who watch; whoever looks from now on waits for the next change."""
        self._changed.pop(identifier).set()
        self._changed[identifier] = asyncio.Event()

    async def _run(self, identifier: str, kind: str, work: Work) -> None:
        def report(progress: ProgressEvent) -> None:
            self._table.append_event(identifier, msgspec.msgpack.encode(progress))
            self._notify(identifier)

        state: OperationState = "FAILED"
        payload = b""
        try:
            payload = await work(report)
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
        except Exception:  # noqa: BLE001 - an operation always ends in a result
            _log.exception("operation_failed", operation=identifier, kind=kind)
            payload = msgspec.msgpack.encode(Failure.of(InternalError("")))
        finally:
            self._table.finish(identifier, state, payload)
            _log.info("operation_ended", operation=identifier, kind=kind, state=state)
            self._changed.pop(identifier).set()
            del self._tasks[identifier]
