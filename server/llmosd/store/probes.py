"""What versions said when they were first checked: what they must say again, wherever loaded."""

import sqlite3
from collections.abc import Sequence

import msgspec


class ProbeTable:
    """Rows of `probes`; made by `Catalog`. A row outlives its version, whose digest it has."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def get(self, digest: str, setting: str) -> list[float] | None:
        """The numbers that the version of a manifest's digest said in a setting, if any."""
        row = self._db.execute(
            "SELECT numbers FROM probes WHERE digest = ? AND setting = ?", (digest, setting)
        ).fetchone()
        return msgspec.json.decode(row["numbers"], type=list[float]) if row else None

    def put(self, digest: str, setting: str, numbers: Sequence[float]) -> None:
        """Keep the first numbers; later ones change nothing."""
        self._db.execute(
            "INSERT OR IGNORE INTO probes VALUES (?, ?, ?)",
            (digest, setting, msgspec.json.encode(list(numbers)).decode()),
        )
