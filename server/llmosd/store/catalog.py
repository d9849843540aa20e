"""The catalog: models, versions, aliases, and which versions should be loaded.

One SQLite file, one writer, one thread (the front's event loop): a commit takes well under a
millisecond. Every change is on disk when the call returns. What operations left is in
`operations.OperationTable`, datasets are in `dataset_table.DatasetTable`, on the same connection:
`catalog.operations`, `catalog.datasets`; so are `catalog.evaluations`,
`catalog.feedback` and `catalog.tokens`, and aliases with how they moved, in `catalog.aliases`.
"""

import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

from llmosd.errors import InternalError, ModelNotFound
from llmosd.store.aliases import AliasTable
from llmosd.store.connection import connect, transaction
from llmosd.store.dataset_table import DatasetTable
from llmosd.store.evaluations import EvaluationTable
from llmosd.store.feedback import FeedbackTable
from llmosd.store.names import LIVE, ModelRef
from llmosd.store.operations import OperationTable
from llmosd.store.probes import ProbeTable
from llmosd.store.records import (
    ModelRecord,
    VersionRecord,
    WantedRecord,
    from_micros,
    to_micros,
)
from llmosd.store.tokens import TokenTable

_VERSION = ", ".join(VersionRecord.__struct_fields__)


class Catalog:
    """Use as a context manager, or `close` it."""

    def __init__(self, path: Path) -> None:
        """Open or create the file; raises DataCorrupt where it is damaged or too new."""
        self._db = connect(path)
        self._db.row_factory = sqlite3.Row
        self.operations = OperationTable(self._db)
        self.datasets = DatasetTable(self._db)
        self.evaluations = EvaluationTable(self._db)
        self.aliases = AliasTable(self._db)
        self.probes = ProbeTable(self._db)
        self.feedback = FeedbackTable(self._db)
        self.tokens = TokenTable(self._db)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def pin(self) -> sqlite3.Connection:
        """A connection that sees the file as it is now, whatever is written later.

        For any thread; the caller closes it.
        """
        path = self._one("SELECT file FROM pragma_database_list WHERE name = 'main'")
        assert path is not None
        pinned = sqlite3.connect(path["file"], isolation_level=None, check_same_thread=False)
        try:
            pinned.execute("BEGIN")
            pinned.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except BaseException:
            pinned.close()
            raise
        return pinned

    def atomically(self) -> AbstractContextManager[None]:
        """Commit what happens inside, durably, or none of it."""
        return transaction(self._db)

    def next_version(self, model_id: str) -> int:
        """The number the next version gets; a deleted version's is not given again."""
        row = self._one("SELECT next_version FROM models WHERE model_id = ?", model_id)
        return int(row["next_version"]) if row else 1

    def add_version(self, record: VersionRecord, alias: str = LIVE) -> None:
        """Add a version, and its model if new, and point `alias` at it.

        The first version of a model is live whatever `alias` says. Raises InternalError where
        the number was given before.
        """
        created = to_micros(record.create_time)
        with transaction(self._db):
            if record.version < self.next_version(record.model_id):
                raise InternalError(f"{record.name} was there before")
            self._db.execute(
                "INSERT INTO models VALUES (?1, ?2, ?3) "
                "ON CONFLICT (model_id) DO UPDATE SET next_version = ?3",
                (record.model_id, created, record.version + 1),
            )
            values = {name: getattr(record, name) for name in record.__struct_fields__}
            values |= {"create_time": created, "chat": int(record.chat)}
            marks = ", ".join(f":{name}" for name in values)
            self._db.execute(f"INSERT INTO versions ({_VERSION}) VALUES ({marks})", values)  # noqa: S608
            self.aliases.move(record.model_id, alias, record.version, "PUBLISHED")
            if self.aliases.at(record.model_id, LIVE) is None:
                self.aliases.move(record.model_id, LIVE, record.version, "PUBLISHED")

    def set_alias(self, model_id: str, alias: str, version: int) -> None:
        """Point an alias at a version; raises ModelNotFound where there is no such version."""
        self.resolve(ModelRef(model_id, version))
        with transaction(self._db):
            self.aliases.move(model_id, alias, version, "SET")

    def add_note(self, model_id: str, version: int, note: str) -> None:
        """Keep something that people should know of a version, once. Raises ModelNotFound."""
        known = self.resolve(ModelRef(model_id, version)).notes.splitlines()
        if note not in known:
            self._db.execute(
                "UPDATE versions SET notes = ? WHERE model_id = ? AND version = ?",
                ("\n".join([*known, note]), model_id, version),
            )

    def resolve(self, ref: ModelRef) -> VersionRecord:
        """Find the version a name means; raises ModelNotFound, saying which part is unknown."""
        number = ref.version
        if number is None:
            number = self.aliases.at(ref.model_id, ref.alias or LIVE)
        row = self._one(
            f"SELECT {_VERSION} FROM versions WHERE model_id = ? AND version = ?",  # noqa: S608
            ref.model_id,
            number,
        )
        if row is None:
            raise self._not_found(ref)
        return _version(row)

    def model(self, model_id: str) -> ModelRecord:
        """One model; raises ModelNotFound."""
        row = self._one("SELECT * FROM models WHERE model_id = ?", model_id)
        if row is None:
            raise self._not_found(ModelRef(model_id))
        return self._model(row)

    def models(self, limit: int, after_id: str = "") -> list[ModelRecord]:
        """At most `limit` models by ID, from the one after `after_id`."""
        rows = self._all(
            "SELECT * FROM models WHERE model_id > ? ORDER BY model_id LIMIT ?", after_id, limit
        )
        return [self._model(row) for row in rows]

    def versions(
        self, model_id: str | None, limit: int, after: tuple[str, int] = ("", 0)
    ) -> list[VersionRecord]:
        """At most `limit` versions of one model or (None) of all, from the one after `after`.

        Ordered by (model_id, version). Raises ModelNotFound for a model that is not there.
        """
        if model_id is not None:
            self.model(model_id)
        rows = self._all(
            f"SELECT {_VERSION} FROM versions WHERE (?1 IS NULL OR model_id = ?1) "  # noqa: S608
            "AND (model_id, version) > (?2, ?3) ORDER BY model_id, version LIMIT ?4",
            model_id,
            *after,
            limit,
        )
        return [_version(row) for row in rows]

    def delete_version(self, model_id: str, version: int) -> None:
        """Remove a version; "live" moves to the newest left, other aliases of it go.

        The last version takes the model with it. Raises ModelNotFound.
        """
        self.resolve(ModelRef(model_id, version))
        with transaction(self._db):
            self._db.execute(
                "DELETE FROM versions WHERE model_id = ? AND version = ?", (model_id, version)
            )
            newest = self._one(
                "SELECT max(version) AS number FROM versions WHERE model_id = ?", model_id
            )
            if newest is None or newest["number"] is None:
                self._db.execute("DELETE FROM models WHERE model_id = ?", (model_id,))
            elif self.aliases.at(model_id, LIVE) is None:
                self.aliases.move(model_id, LIVE, newest["number"], "SET")

    def delete_model(self, model_id: str) -> list[int]:
        """Remove a model with all versions; returns their numbers. Raises ModelNotFound."""
        self.model(model_id)
        with transaction(self._db):
            rows = self._all("SELECT version FROM versions WHERE model_id = ?", model_id)
            self._db.execute("DELETE FROM models WHERE model_id = ?", (model_id,))
        return [row["version"] for row in rows]

    def set_wanted(
        self,
        model_id: str,
        version: int,
        wanted: bool,  # noqa: FBT001 - reads well at the call
        keep_alive: float | None = None,
        dtype: str = "",
        *,
        pinned: bool = False,
    ) -> None:
        """Say whether a version should be loaded, now and after a restart.

        What is pinned stays so until it is not wanted. Raises ModelNotFound where a version that
        is not there is wanted.
        """
        if wanted:
            self.resolve(ModelRef(model_id, version))
            self._db.execute(
                "INSERT INTO wanted VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (model_id, version) "
                "DO UPDATE SET keep_alive = ?3, dtype = ?4, pinned = max(pinned, ?5)",
                (model_id, version, keep_alive, dtype, int(pinned)),
            )
        else:
            self._db.execute(
                "DELETE FROM wanted WHERE model_id = ? AND version = ?", (model_id, version)
            )

    def pinned(self, model_id: str, version: int) -> bool:
        """Whether a version is wanted by its number."""
        row = self._one(
            "SELECT pinned FROM wanted WHERE model_id = ? AND version = ?", model_id, version
        )
        return row is not None and bool(row["pinned"])

    def wanted(self) -> list[WantedRecord]:
        """The versions that should be loaded."""
        rows = self._all("SELECT * FROM wanted ORDER BY 1, 2")
        return [WantedRecord(**{**row, "pinned": bool(row["pinned"])}) for row in map(dict, rows)]

    def _model(self, row: sqlite3.Row) -> ModelRecord:
        model_id = row["model_id"]
        aliases = self._all(
            "SELECT alias, version FROM aliases WHERE model_id = ? ORDER BY alias", model_id
        )
        count = self._one("SELECT count(*) AS n FROM versions WHERE model_id = ?", model_id)
        return ModelRecord(
            model_id=model_id,
            create_time=from_micros(row["create_time"]),
            aliases={alias["alias"]: alias["version"] for alias in aliases},
            live=self.resolve(ModelRef(model_id)),
            version_count=count["n"] if count else 0,
        )

    def _not_found(self, ref: ModelRef) -> ModelNotFound:
        known = self._one("SELECT 1 FROM models WHERE model_id = ?", ref.model_id)
        metadata = {"model": str(ref)}
        if known is None:
            return ModelNotFound(
                f'model "{ref.model_id}" is not installed; llmos list shows what is, '
                "llmos pull gets more",
                metadata=metadata,
            )
        part = f"version {ref.version}" if ref.version else f'alias "{ref.alias}"'
        return ModelNotFound(f'model "{ref.model_id}" has no {part}', metadata=metadata)

    def _one(self, query: str, *values: object) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._db.execute(query, values).fetchone()
        return row

    def _all(self, query: str, *values: object) -> list[sqlite3.Row]:
        return self._db.execute(query, values).fetchall()


def _version(row: sqlite3.Row) -> VersionRecord:
    values = dict(row)
    values["create_time"] = from_micros(values["create_time"])
    values["chat"] = bool(values["chat"])
    return VersionRecord(**values)
