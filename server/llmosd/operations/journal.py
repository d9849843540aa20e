"""What operations did and how they ended, for whoever watches; shared by all that run them."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import NamedTuple

import msgspec
import structlog

from llmosd.full_disk import is_full
from llmosd.store.operations import OperationTable
from llmosd.store.records import EventRecord, OperationRecord, OperationState, Phase, now
from llmosd.store.run_events import EventLine, JobEvent, MetricEvent, ProgressEvent

_log = structlog.get_logger()
_RETRY_SECONDS = 5.0

_PAGE = 256


class WatchEvent(NamedTuple):
    """What a watcher sees. `done` has no event; a heartbeat has sequence 0 and neither."""

    sequence: int
    time: datetime
    event: JobEvent | None
    done: OperationRecord | None


class Standing(NamedTuple):
    """How far an operation is: the newest event's number, progress and figures of training."""

    sequence: int
    progress: ProgressEvent | None
    metric: MetricEvent | None


class Journal:
    """The events of operations, and those who wait for new ones."""

    def __init__(self, table: OperationTable) -> None:
        self.table = table
        self._changed: dict[str, asyncio.Event] = {}
        self.on_end: Callable[[str, OperationState], None] = lambda _, __: None

    def report(self, identifier: str, progress: ProgressEvent) -> None:
        """Append; progress that a full disk has no room for is left out."""
        try:
            self.append(identifier, progress)
        except sqlite3.Error as error:
            if not is_full(error):
                raise

    def append(self, identifier: str, event: JobEvent) -> None:
        """Record an event under the next number."""
        self.table.append_event(identifier, msgspec.json.encode(event))
        self._notify(identifier)

    def copy(self, identifier: str, lines: list[EventLine]) -> None:
        """Record events that have their numbers already."""
        if lines:
            events = [
                EventRecord(line.sequence, line.time, msgspec.json.encode(line.event))
                for line in lines
            ]
            self.table.copy_events(identifier, events)
            self._notify(identifier)

    def set_phase(self, identifier: str, phase: Phase) -> None:
        """Record where a durable operation stands."""
        self.table.set_phase(identifier, phase)

    def finish(self, identifier: str, state: OperationState, payload: bytes) -> None:
        """Record the outcome."""
        if self.table.finish(identifier, state, payload):
            self.on_end(self.table.get(identifier).kind, state)
        changed = self._changed.pop(identifier, None)
        if changed is not None:
            changed.set()

    async def finish_surely(self, identifier: str, state: OperationState, payload: bytes) -> None:
        """Record the outcome, however long the disk is full."""
        while True:
            try:
                return self.finish(identifier, state, payload)
            except sqlite3.Error as error:
                _log.warning("outcome_not_written", operation=identifier, error=str(error))
                await self.wait_for_room()

    async def wait_for_room(self) -> None:
        """Between two tries to write something down on a full disk."""
        await asyncio.sleep(_RETRY_SECONDS)

    def standing(self, identifier: str) -> Standing:
        """How far an operation is."""
        sequence, progress, metric = 0, None, None
        for record in self.table.last_events(identifier, 64):
            sequence = max(sequence, record.sequence)
            event = _decode(record)
            if isinstance(event, ProgressEvent):
                progress = progress or event
            elif isinstance(event, MetricEvent) and event.source == "training":
                metric = metric or event
            if progress and metric:
                break
        return Standing(sequence, progress, metric)

    async def changed(self, identifier: str, seconds: float) -> None:
        """Wait for the next change, or so long."""
        event = self._waiting(identifier)
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass

    async def watch(
        self, identifier: str, after_sequence: int, heartbeat: float
    ) -> AsyncIterator[WatchEvent]:
        """Replay events after a sequence number, then follow; ends after `done`."""
        seen = after_sequence
        while True:
            changed = self._waiting(identifier)  # taken before reading: nothing is missed
            record = self.table.get(identifier)
            events = self.table.events(identifier, seen, _PAGE)
            for event in events:
                seen = event.sequence
                yield WatchEvent(event.sequence, event.create_time, _decode(event), None)
            if len(events) == _PAGE:
                continue
            if record.end_time is not None:
                self._changed.pop(identifier, None)
                yield WatchEvent(seen + 1, record.end_time, None, record)
                return
            try:
                async with asyncio.timeout(heartbeat):
                    await changed.wait()
            except TimeoutError:
                yield WatchEvent(0, now(), None, None)

    def _waiting(self, identifier: str) -> asyncio.Event:
        return self._changed.setdefault(identifier, asyncio.Event())

    def _notify(self, identifier: str) -> None:
        """Wake all who watch; whoever looks from now on waits for the next change."""
        changed = self._changed.pop(identifier, None)
        if changed is not None:
            changed.set()


def _decode(record: EventRecord) -> JobEvent:
    event: JobEvent = msgspec.json.decode(record.payload, type=JobEvent)
    return event
