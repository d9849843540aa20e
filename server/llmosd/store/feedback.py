"""What people said about answers: rows of the catalog, what was made of them, and forgetting."""

import sqlite3
from collections.abc import Iterable
from datetime import datetime
from typing import Literal

import msgspec

from llmosd.errors import FeedbackNotFound
from llmosd.store.connection import transaction
from llmosd.store.names import DatasetRef, version_name
from llmosd.store.records import from_micros, to_micros

Kind = Literal["UP", "DOWN", "EDIT", "BETTER", "TIE", "WORSE"]


class FeedbackRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One verdict; see llmos.v1.Feedback. Texts are "" where nobody consented.

    `prompt` is JSON: a string, or a list of messages. `position` orders by creation.
    """

    feedback_id: str
    create_time: datetime
    generation: str
    model_id: str
    version: int
    model_digest: str
    kind: Kind
    other_version: str = ""
    consent: bool = False
    tenant: str = ""
    subject: str = ""
    prompt: str = ""
    answer: str = ""
    other_answer: str = ""
    edit: str = ""
    comment: str = ""
    position: int = 0

    @property
    def name(self) -> str:
        """The resource name."""
        return f"feedback/{self.feedback_id}"

    @property
    def model_version(self) -> str:
        """The version that gave the answer."""
        return version_name(self.model_id, self.version)


_STORED = tuple(name for name in FeedbackRecord.__struct_fields__ if name != "position")


class FeedbackTable:
    """Rows of `feedback` and `feedback_exports`; made by `Catalog`, which owns the connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def add(self, record: FeedbackRecord) -> None:
        """Add one; it is on disk when this returns."""
        values = {name: getattr(record, name) for name in _STORED}
        values |= {
            "create_time": to_micros(record.create_time),
            "consent": int(record.consent),
        }
        marks = ", ".join(f":{name}" for name in _STORED)
        self._db.execute(
            f"INSERT INTO feedback ({', '.join(_STORED)}) VALUES ({marks})",  # noqa: S608
            values,
        )

    def get(self, identifier: str) -> FeedbackRecord:
        """One of them; raises FeedbackNotFound."""
        found = self._select("feedback_id = ?", (identifier,), 1)
        if not found:
            raise FeedbackNotFound(f"feedback/{identifier} is not known")
        return found[0]

    def newest(
        self, limit: int, before: int, model_id: str | None = None, version: int | None = None
    ) -> list[FeedbackRecord]:
        """At most `limit` of a model, a version or (None) all, the newest of those `before` first.

        `before` is a position; 0: from the newest on.
        """
        where = (
            "(?1 = 0 OR position < ?1) AND (?2 IS NULL OR model_id = ?2) "
            "AND (?3 IS NULL OR version = ?3)"
        )
        return self._select(where, (before, model_id, version), limit)

    def of_subject(self, subject: str) -> list[FeedbackRecord]:
        """Everything of a subject, the newest first."""
        return self._select("subject = ?", (subject,), -1)

    def older_than(self, moment: datetime) -> list[FeedbackRecord]:
        """Everything from before a moment."""
        return self._select("create_time < ?", (to_micros(moment),), -1)

    def exported(self, identifiers: Iterable[str], dataset_id: str, version: int) -> None:
        """Note that a dataset version holds rows of these."""
        with transaction(self._db):
            self._db.executemany(
                "INSERT OR IGNORE INTO feedback_exports VALUES (?, ?, ?)",
                [(each, dataset_id, version) for each in identifiers],
            )

    def datasets_of(self, identifiers: Iterable[str]) -> list[DatasetRef]:
        """The dataset versions that hold rows of these."""
        found: set[tuple[str, int]] = set()
        for each in identifiers:
            rows = self._db.execute(
                "SELECT dataset_id, version FROM feedback_exports WHERE feedback_id = ?", (each,)
            )
            found |= {(row["dataset_id"], row["version"]) for row in rows}
        return [DatasetRef(*each) for each in sorted(found)]

    def delete(self, identifiers: Iterable[str]) -> None:
        """Remove rows, and what the file remembers of them.

        Pages are overwritten (secure_delete), and the write-ahead log, which has them still, is
        emptied: when this returns, no byte of the rows is in the catalog's files.
        """
        with transaction(self._db):
            self._db.executemany(
                "DELETE FROM feedback WHERE feedback_id = ?", [(each,) for each in identifiers]
            )
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _select(self, where: str, values: tuple[object, ...], limit: int) -> list[FeedbackRecord]:
        rows = self._db.execute(
            f"SELECT * FROM feedback WHERE {where} ORDER BY position DESC LIMIT {limit}",  # noqa: S608
            values,
        ).fetchall()
        return [_record(row) for row in rows]


def _record(row: sqlite3.Row) -> FeedbackRecord:
    values = dict(row)
    values |= {
        "create_time": from_micros(values["create_time"]),
        "consent": bool(values["consent"]),
    }
    return FeedbackRecord(**values)
