"""Datasets and their versions, as the catalog keeps them."""

import sqlite3

from llmosd.errors import DatasetNotFound, InternalError
from llmosd.store.connection import transaction
from llmosd.store.names import DatasetRef
from llmosd.store.records import (
    DatasetRecord,
    DatasetVersionRecord,
    from_micros,
    to_micros,
)

_VERSION = ", ".join(DatasetVersionRecord.__struct_fields__)


class DatasetTable:
    """Rows of `datasets` and `dataset_versions`; made by `Catalog`, which owns the connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def next_version(self, dataset_id: str) -> int:
        """The number the next version gets; a deleted version's is not given again."""
        row = self._one("SELECT next_version FROM datasets WHERE dataset_id = ?", dataset_id)
        return int(row["next_version"]) if row else 1

    def add_version(self, record: DatasetVersionRecord) -> None:
        """Add a version, and its dataset if new; raises InternalError for a number given before."""
        created = to_micros(record.create_time)
        with transaction(self._db):
            if record.version < self.next_version(record.dataset_id):
                raise InternalError(f"{record.name} was there before")
            self._db.execute(
                "INSERT INTO datasets VALUES (?1, ?2, ?3) "
                "ON CONFLICT (dataset_id) DO UPDATE SET next_version = ?3",
                (record.dataset_id, created, record.version + 1),
            )
            values = {name: getattr(record, name) for name in record.__struct_fields__}
            values["create_time"] = created
            marks = ", ".join(f":{name}" for name in values)
            self._db.execute(
                f"INSERT INTO dataset_versions ({_VERSION}) VALUES ({marks})",  # noqa: S608
                values,
            )

    def resolve(self, ref: DatasetRef) -> DatasetVersionRecord:
        """Find the version a name means; raises DatasetNotFound, saying which part is unknown."""
        row = self._one(
            f"SELECT {_VERSION} FROM dataset_versions "  # noqa: S608
            "WHERE dataset_id = ?1 AND (?2 IS NULL OR version = ?2) ORDER BY version DESC LIMIT 1",
            ref.dataset_id,
            ref.version,
        )
        if row is None:
            raise self._not_found(ref)
        return _version(row)

    def dataset(self, dataset_id: str) -> DatasetRecord:
        """One dataset; raises DatasetNotFound."""
        row = self._one("SELECT * FROM datasets WHERE dataset_id = ?", dataset_id)
        if row is None:
            raise self._not_found(DatasetRef(dataset_id))
        return self._dataset(row)

    def datasets(self, limit: int, after_id: str = "") -> list[DatasetRecord]:
        """At most `limit` datasets by ID, from the one after `after_id`."""
        rows = self._db.execute(
            "SELECT * FROM datasets WHERE dataset_id > ? ORDER BY dataset_id LIMIT ?",
            (after_id, limit),
        ).fetchall()
        return [self._dataset(row) for row in rows]

    def versions(
        self, dataset_id: str | None, limit: int, after: tuple[str, int] = ("", 0)
    ) -> list[DatasetVersionRecord]:
        """At most `limit` versions of one dataset or (None) of all, from the one after `after`.

        Ordered by (dataset_id, version). Raises DatasetNotFound for one that is not there.
        """
        if dataset_id is not None:
            self.dataset(dataset_id)
        rows = self._db.execute(
            f"SELECT {_VERSION} FROM dataset_versions "  # noqa: S608
            "WHERE (?1 IS NULL OR dataset_id = ?1) AND (dataset_id, version) > (?2, ?3) "
            "ORDER BY dataset_id, version LIMIT ?4",
            (dataset_id, *after, limit),
        ).fetchall()
        return [_version(row) for row in rows]

    def delete_version(self, dataset_id: str, version: int) -> None:
        """Remove a version; the last one takes the dataset with it. Raises DatasetNotFound."""
        self.resolve(DatasetRef(dataset_id, version))
        with transaction(self._db):
            self._db.execute(
                "DELETE FROM dataset_versions WHERE dataset_id = ? AND version = ?",
                (dataset_id, version),
            )
            self._db.execute(
                "DELETE FROM datasets WHERE dataset_id = ?1 AND NOT EXISTS "
                "(SELECT 1 FROM dataset_versions WHERE dataset_id = ?1)",
                (dataset_id,),
            )

    def delete_dataset(self, dataset_id: str) -> None:
        """Remove a dataset with all versions. Raises DatasetNotFound."""
        self.dataset(dataset_id)
        with transaction(self._db):
            self._db.execute("DELETE FROM datasets WHERE dataset_id = ?", (dataset_id,))

    def _dataset(self, row: sqlite3.Row) -> DatasetRecord:
        dataset_id = row["dataset_id"]
        count = self._one(
            "SELECT count(*) AS n FROM dataset_versions WHERE dataset_id = ?", dataset_id
        )
        return DatasetRecord(
            dataset_id=dataset_id,
            create_time=from_micros(row["create_time"]),
            newest=self.resolve(DatasetRef(dataset_id)),
            version_count=count["n"] if count else 0,
        )

    def _not_found(self, ref: DatasetRef) -> DatasetNotFound:
        known = self._one("SELECT 1 FROM datasets WHERE dataset_id = ?", ref.dataset_id)
        metadata = {"dataset": str(ref)}
        if known is None:
            return DatasetNotFound(
                f'dataset "{ref.dataset_id}" is not there; llmos dataset list shows what is, '
                "llmos dataset add brings one in",
                metadata=metadata,
            )
        return DatasetNotFound(
            f'dataset "{ref.dataset_id}" has no version {ref.version}', metadata=metadata
        )

    def _one(self, query: str, *values: object) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._db.execute(query, values).fetchone()
        return row


def _version(row: sqlite3.Row) -> DatasetVersionRecord:
    values = dict(row)
    values["create_time"] = from_micros(values["create_time"])
    return DatasetVersionRecord(**values)
