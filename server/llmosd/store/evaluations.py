"""Evaluations: rows of the catalog with their figures, and <state>/evaluations/ID/ with the rest.

A folder is there before its row is, and goes after it: what has no row is removed at start.
"""

import shutil
import sqlite3
from datetime import datetime
from pathlib import Path

import msgspec

from llmosd.errors import EvaluationNotFound
from llmosd.store.files import copy_durably, sync_folder
from llmosd.store.records import from_micros, to_micros


class EvaluationRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An evaluation; `summary` is for the caller to decode.

    `model_id` is "" and `version` 0 where no model was judged. `position` orders them by creation.
    """

    evaluation_id: str
    model_id: str
    version: int
    create_time: datetime
    summary: bytes
    position: int = 0

    @property
    def name(self) -> str:
        """The resource name."""
        return f"evaluations/{self.evaluation_id}"


class EvaluationTable:
    """Rows of `evaluations`; made by `Catalog`, which owns the connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def add(self, record: EvaluationRecord) -> None:
        """Add one; it is on disk when this returns. The same ID again changes nothing."""
        self._db.execute(
            "INSERT INTO evaluations (evaluation_id, model_id, version, create_time, summary) "
            "VALUES (?, ?, ?, ?, ?) ON CONFLICT (evaluation_id) DO NOTHING",
            (
                record.evaluation_id,
                record.model_id,
                record.version,
                to_micros(record.create_time),
                record.summary,
            ),
        )

    def get(self, identifier: str) -> EvaluationRecord:
        """One of them; raises EvaluationNotFound."""
        row = self._db.execute(
            "SELECT * FROM evaluations WHERE evaluation_id = ?", (identifier,)
        ).fetchone()
        if row is None:
            raise EvaluationNotFound(f"evaluations/{identifier} is not known")
        return _record(row)

    def newest(
        self, limit: int, before: int, model_id: str | None = None, version: int | None = None
    ) -> list[EvaluationRecord]:
        """At most `limit` of a model, a version or (None) all, the newest of those `before` first.

        `before` is a position; 0: from the newest on.
        """
        rows = self._db.execute(
            "SELECT * FROM evaluations WHERE (?1 = 0 OR position < ?1) "
            "AND (?2 IS NULL OR model_id = ?2) AND (?3 IS NULL OR version = ?3) "
            "ORDER BY position DESC LIMIT ?4",
            (before, model_id, version, limit),
        ).fetchall()
        return [_record(row) for row in rows]

    def names(self) -> set[str]:
        """The IDs of all."""
        rows = self._db.execute("SELECT evaluation_id FROM evaluations").fetchall()
        return {row["evaluation_id"] for row in rows}

    def delete(self, identifier: str) -> None:
        """Remove one; raises EvaluationNotFound."""
        self.get(identifier)
        self._db.execute("DELETE FROM evaluations WHERE evaluation_id = ?", (identifier,))


class EvaluationFolders:
    """The folder `<state>/evaluations`."""

    def __init__(self, state: Path) -> None:
        """Create what is missing."""
        self._root = state / "evaluations"
        self._root.mkdir(exist_ok=True, mode=0o750)

    def path(self, identifier: str) -> Path:
        """Where one is, of an ID that the table knows."""
        return self._root / identifier

    def publish(self, identifier: str, source: Path) -> None:
        """Copy all files of `source`; there under its name whole, or not at all."""
        aside = self._root / f".new-{identifier}"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(mode=0o750)
        for file in source.iterdir():
            copy_durably(file, aside / file.name)
        shutil.rmtree(self.path(identifier), ignore_errors=True)
        aside.rename(self.path(identifier))
        sync_folder(self._root)

    def delete(self, identifier: str) -> None:
        """Remove one that is no longer in the table."""
        aside = self._root / f".old-{identifier}"
        self.path(identifier).rename(aside)
        shutil.rmtree(aside, ignore_errors=True)

    def clean(self, known: set[str]) -> None:
        """Remove what is not `known`."""
        for path in self._root.iterdir():
            if path.name not in known:
                shutil.rmtree(path, ignore_errors=True)


def _record(row: sqlite3.Row) -> EvaluationRecord:
    values = dict(row)
    return EvaluationRecord(**{**values, "create_time": from_micros(values["create_time"])})
