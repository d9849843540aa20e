"""Operations and their events, as the catalog keeps them. Knows nothing of what they do."""

import sqlite3

from llmosd.errors import InternalError, OperationNotFound, OperationRunning, RequestIdReused
from llmosd.store.connection import transaction
from llmosd.store.records import (
    RUNNING,
    EventRecord,
    OperationRecord,
    OperationState,
    Phase,
    from_micros,
    now,
    to_micros,
)


class OperationTable:
    """Rows of `operations` and `events`; made by `Catalog`, which owns the connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def create(
        self,
        operation_id: str,
        kind: str,
        target: str,
        request_id: str = "",
        payload_digest: str = "",
        *,
        durable: bool = False,
        tenant: str = "",
    ) -> OperationRecord:
        """Record a new operation as RUNNING; a durable one waits first.

        A `request_id` is used once: ask `find_request` first, and return what it finds if the
        payload is the same. Raises RequestIdReused where that was not done.
        """
        try:
            self._db.execute(
                "INSERT INTO operations "
                "(operation_id, kind, target, state, request_id, payload_digest, create_time, "
                "durable, phase, tenant) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    operation_id,
                    kind,
                    target,
                    RUNNING,
                    request_id or None,
                    payload_digest,
                    to_micros(now()),
                    int(durable),
                    "QUEUED" if durable else "",
                    tenant,
                ),
            )
        except sqlite3.IntegrityError:
            if request_id and self.find_request(request_id):
                raise RequestIdReused("request_id was used by another call") from None
            raise InternalError(f"operation {operation_id} is there already") from None
        return self.get(operation_id)

    def find_request(self, request_id: str) -> OperationRecord | None:
        """The operation that a request_id made, if any; compare its `payload_digest`."""
        row = self._db.execute(
            "SELECT * FROM operations WHERE request_id = ?", (request_id,)
        ).fetchone()
        return _operation(row) if row else None

    def knows(self, operation_id: str) -> bool:
        """Whether there is such an operation."""
        query = "SELECT 1 FROM operations WHERE operation_id = ?"
        return self._db.execute(query, (operation_id,)).fetchone() is not None

    def get(self, operation_id: str) -> OperationRecord:
        """One operation; raises OperationNotFound."""
        row = self._db.execute(
            "SELECT * FROM operations WHERE operation_id = ?", (operation_id,)
        ).fetchone()
        if row is None:
            raise OperationNotFound(
                f'operation "{operation_id}" does not exist', metadata={"operation": operation_id}
            )
        return _operation(row)

    def page(
        self, limit: int, after: int | None = None, tenant: str | None = None
    ) -> list[OperationRecord]:
        """At most `limit` operations, of a tenant or all, newest first, after position `after`."""
        rows = self._db.execute(
            "SELECT * FROM operations WHERE (?1 IS NULL OR position < ?1) "
            "AND (?3 IS NULL OR tenant = ?3) ORDER BY position DESC LIMIT ?2",
            (after, limit, tenant),
        )
        return [_operation(row) for row in rows]

    def append_event(self, operation_id: str, payload: bytes) -> int:
        """Add an event; returns its sequence number. Raises OperationNotFound."""
        with transaction(self._db):
            return self._append(operation_id, payload)

    def copy_events(self, operation_id: str, events: list[EventRecord]) -> None:
        """Add events that have their numbers and times already; those that are there are left."""
        with transaction(self._db):
            self._db.executemany(
                "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?)",
                [
                    (operation_id, event.sequence, to_micros(event.create_time), event.payload)
                    for event in events
                ],
            )

    def set_phase(self, operation_id: str, phase: Phase) -> None:
        """Say where a running operation stands."""
        self._db.execute(
            "UPDATE operations SET phase = ? WHERE operation_id = ?", (phase, operation_id)
        )

    def unfinished(self) -> list[OperationRecord]:
        """Durable operations that have not ended, oldest first."""
        rows = self._db.execute(
            "SELECT * FROM operations WHERE durable AND state = 'RUNNING' ORDER BY position"
        )
        return [_operation(row) for row in rows]

    def open_counts(self) -> dict[tuple[str, Phase], int]:
        """How many operations have not ended, by kind and phase; "" where it has none."""
        rows = self._db.execute(
            "SELECT kind, phase, count(*) FROM operations WHERE state = 'RUNNING' "
            "GROUP BY kind, phase"
        )
        return {(kind, phase): count for kind, phase, count in rows}

    def last_events(self, operation_id: str, limit: int) -> list[EventRecord]:
        """At most `limit` events, the newest first."""
        rows = self._db.execute(
            "SELECT sequence, create_time, payload FROM events "
            "WHERE operation_id = ? ORDER BY sequence DESC LIMIT ?",
            (operation_id, limit),
        )
        return [EventRecord(row[0], from_micros(row[1]), row[2]) for row in rows]

    def events(self, operation_id: str, after_sequence: int, limit: int) -> list[EventRecord]:
        """At most `limit` events after a sequence number (0: from the first), in order.

        Raises OperationNotFound.
        """
        self.get(operation_id)
        rows = self._db.execute(
            "SELECT sequence, create_time, payload FROM events "
            "WHERE operation_id = ? AND sequence > ? ORDER BY sequence LIMIT ?",
            (operation_id, after_sequence, limit),
        )
        return [EventRecord(row[0], from_micros(row[1]), row[2]) for row in rows]

    def finish(
        self,
        operation_id: str,
        state: OperationState,
        payload: bytes,
        event: bytes | None = None,
    ) -> bool:
        """Record the outcome and, in the same commit, a last event.

        `payload` becomes `result`. Returns False, changing nothing, where it had ended before.
        Raises OperationNotFound.
        """
        with transaction(self._db):
            if self.get(operation_id).state != RUNNING:
                return False
            self._db.execute(
                "UPDATE operations SET state = ?, phase = '', result = ?, end_time = ? "
                "WHERE operation_id = ?",
                (state, payload, to_micros(now()), operation_id),
            )
            if event is not None:
                self._append(operation_id, event)
        return True

    def delete(self, operation_id: str) -> None:
        """Forget an operation that has ended, and its events.

        Raises OperationNotFound, and OperationRunning where it still runs.
        """
        if self.get(operation_id).state == RUNNING:
            raise OperationRunning(
                f'operation "{operation_id}" is running; cancel it first',
                metadata={"operation": operation_id},
            )
        self._db.execute("DELETE FROM operations WHERE operation_id = ?", (operation_id,))

    def interrupt_running(self, payload: bytes = b"") -> list[str]:
        """At start: mark what a daemon that died left RUNNING as INTERRUPTED, if not durable.

        `payload` becomes their result. Returns their ids, oldest first.
        """
        with transaction(self._db):
            rows = self._db.execute(
                "SELECT operation_id FROM operations "
                "WHERE state = 'RUNNING' AND NOT durable ORDER BY position"
            ).fetchall()
            self._db.execute(
                "UPDATE operations SET state = 'INTERRUPTED', result = ?, end_time = ? "
                "WHERE state = 'RUNNING' AND NOT durable",
                (payload, to_micros(now())),
            )
        return [row[0] for row in rows]

    def _append(self, operation_id: str, payload: bytes) -> int:
        (last,) = self._db.execute(
            "SELECT coalesce(max(sequence), 0) FROM events WHERE operation_id = ?",
            (operation_id,),
        ).fetchone()
        try:
            self._db.execute(
                "INSERT INTO events VALUES (?, ?, ?, ?)",
                (operation_id, last + 1, to_micros(now()), payload),
            )
        except sqlite3.IntegrityError:
            raise OperationNotFound(
                f'operation "{operation_id}" does not exist', metadata={"operation": operation_id}
            ) from None
        return int(last) + 1


def _operation(row: sqlite3.Row) -> OperationRecord:
    values = dict(row)
    values["request_id"] = values["request_id"] or ""
    values["durable"] = bool(values["durable"])
    values["create_time"] = from_micros(values["create_time"])
    if values["end_time"] is not None:
        values["end_time"] = from_micros(values["end_time"])
    return OperationRecord(**values)
