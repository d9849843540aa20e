"""Aliases of models, and the record of how they moved: what a rollback goes back over.

Every move from one version to another is a row of `promotions`, whatever caused it. A rollback ends
the newest row that stands and points the alias at its `previous`; so one rollback after the other
walks back, version by version.
"""

import sqlite3
from collections.abc import Iterable
from datetime import datetime
from typing import Literal

import msgspec

from llmosd.errors import AliasConflict, ModelNotFound
from llmosd.store.connection import transaction
from llmosd.store.names import version_name
from llmosd.store.records import from_micros, now, to_micros

Cause = Literal["PROMOTED", "SET", "PUBLISHED"]


class Watching(msgspec.Struct, frozen=True):
    """How a promotion is watched: `seconds`, and what is borne before the alias goes back.

    So many `losses` of the engine, and a `share` of failed requests among those that ended.
    """

    seconds: float = 60.0
    losses: int = 0
    share: float = 0.05


class Condition(msgspec.Struct, frozen=True):
    """What an evaluation must have shown; see llmos.v1.GateCondition."""

    suite: str
    metric: str
    at_least: float | None = None
    at_most: float | None = None
    max_regression: float | None = None


class PromotionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One move of an alias. `position` orders them; `previous` None: the alias was new."""

    position: int
    model_id: str
    alias: str
    version: int
    previous: int | None
    cause: Cause
    operation_id: str
    create_time: datetime
    watching: Watching | None
    probation_end: datetime | None
    rollback_time: datetime | None
    rollback_reason: str
    automatic: bool


class AliasTable:
    """Rows of `aliases`, `promotions` and `gate_policies`; made by `Catalog`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def at(self, model_id: str, alias: str) -> int | None:
        """The number of the version that an alias points at, if it is there."""
        row = self._one(
            "SELECT version FROM aliases WHERE model_id = ? AND alias = ?", model_id, alias
        )
        return row["version"] if row else None

    def of_version(self, model_id: str, version: int) -> list[str]:
        """The aliases that point at a version."""
        rows = self._db.execute(
            "SELECT alias FROM aliases WHERE model_id = ? AND version = ? ORDER BY alias",
            (model_id, version),
        )
        return [row["alias"] for row in rows]

    def move(
        self,
        model_id: str,
        alias: str,
        version: int,
        cause: Cause,
        *,
        operation_id: str = "",
        watching: Watching | None = None,
    ) -> int | None:
        """Point an alias at a version, inside the caller's transaction.

        Returns the move's position; None where nothing moved: the alias was there already, or is
        new and nobody promoted to it.
        """
        before = self.at(model_id, alias)
        self._point(model_id, alias, version)
        if before == version or (before is None and cause != "PROMOTED"):
            return None
        began = to_micros(now())
        end = None if watching is None else began + int(watching.seconds * 1e6)
        cursor = self._db.execute(
            "INSERT INTO promotions (model_id, alias, version, previous, cause, operation_id, "
            "create_time, watching, probation_end) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                model_id, alias, version, before, cause, operation_id, began,
                None if watching is None else msgspec.json.encode(watching).decode(), end,
            ),
        )  # fmt: skip
        return cursor.lastrowid

    def delete(self, model_id: str, alias: str) -> None:
        """Remove an alias with its policy. Raises ModelNotFound."""
        if self.at(model_id, alias) is None:
            raise ModelNotFound(f'model "{model_id}" has no alias "{alias}"')
        with transaction(self._db):
            for table in ("aliases", "gate_policies"):
                self._db.execute(
                    f"DELETE FROM {table} WHERE model_id = ? AND alias = ?",  # noqa: S608
                    (model_id, alias),
                )

    def standing(self, model_id: str, alias: str) -> PromotionRecord:
        """The move that a rollback would take back.

        Raises:
            AliasConflict: none is recorded, or the alias is not where its last move left it.
        """
        row = self._one(
            "SELECT * FROM promotions WHERE model_id = ? AND alias = ? AND rollback_time IS NULL "
            "ORDER BY position DESC LIMIT 1",
            model_id,
            alias,
        )
        if row is None:
            raise AliasConflict(f'alias "{alias}" of "{model_id}" was not moved: nothing to undo')
        found = _promotion(row)
        if self.at(model_id, alias) != found.version:
            raise AliasConflict(
                f'alias "{alias}" left {version_name(model_id, found.version)}, where its last '
                "move had put it; say where it shall point by SetModelAlias"
            )
        return found

    def take_back(self, record: PromotionRecord, reason: str, *, automatic: bool) -> None:
        """End a standing move and point the alias at where it was, inside the caller's transaction.

        Raises:
            AliasConflict: it does not stand any more, or the alias was new.
        """
        if self.standing(record.model_id, record.alias).position != record.position:
            raise AliasConflict(f'alias "{record.alias}" was moved meanwhile; try again')
        self._point(record.model_id, record.alias, before(record))
        self._db.execute(
            "UPDATE promotions SET rollback_time = ?, rollback_reason = ?, automatic = ? "
            "WHERE position = ?",
            (to_micros(now()), reason, int(automatic), record.position),
        )

    def get(self, position: int) -> PromotionRecord | None:
        """One move, if it is there."""
        row = self._one("SELECT * FROM promotions WHERE position = ?", position)
        return _promotion(row) if row else None

    def page(self, model_id: str, limit: int, before: int | None) -> list[PromotionRecord]:
        """At most `limit` moves of a model's aliases, newest first, from the one after `before`."""
        rows = self._db.execute(
            "SELECT * FROM promotions WHERE model_id = ?1 AND (?2 IS NULL OR position < ?2) "
            "ORDER BY position DESC LIMIT ?3",
            (model_id, before, limit),
        )
        return [_promotion(row) for row in rows]

    def watched(self) -> list[PromotionRecord]:
        """Moves whose probation has not ended, after a restart for instance."""
        rows = self._db.execute(
            "SELECT * FROM promotions WHERE probation_end > ? AND rollback_time IS NULL",
            (to_micros(now()),),
        )
        return [_promotion(row) for row in rows]

    def set_policy(self, model_id: str, alias: str, conditions: Iterable[Condition]) -> None:
        """Say what must hold before an alias moves; no conditions: nothing."""
        wanted = list(conditions)
        if not wanted:
            self._db.execute(
                "DELETE FROM gate_policies WHERE model_id = ? AND alias = ?", (model_id, alias)
            )
            return
        self._db.execute(
            "INSERT OR REPLACE INTO gate_policies VALUES (?, ?, ?)",
            (model_id, alias, msgspec.json.encode(wanted).decode()),
        )

    def policy(self, model_id: str, alias: str) -> list[Condition]:
        """What must hold before an alias moves."""
        row = self._one(
            "SELECT conditions FROM gate_policies WHERE model_id = ? AND alias = ?", model_id, alias
        )
        return msgspec.json.decode(row["conditions"], type=list[Condition]) if row else []

    def _point(self, model_id: str, alias: str, version: int) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO aliases VALUES (?, ?, ?)", (model_id, alias, version)
        )

    def _one(self, query: str, *values: object) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._db.execute(query, values).fetchone()
        return row


def before(record: PromotionRecord) -> int:
    """The version that a move left. Raises AliasConflict where the alias was new."""
    if record.previous is None:
        raise AliasConflict(f'alias "{record.alias}" was new when it was promoted to; delete it')
    return record.previous


def _promotion(row: sqlite3.Row) -> PromotionRecord:
    values = dict(row)
    for name in ("create_time", "probation_end", "rollback_time"):
        values[name] = None if values[name] is None else from_micros(values[name])
    watching = values["watching"]
    values["watching"] = watching and msgspec.json.decode(watching, type=Watching)
    values["automatic"] = bool(values["automatic"])
    return PromotionRecord(**values)
