"""Opening catalog.db: created, migrated with a copy made first, or refused and left as it is."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from llmosd.errors import DataCorrupt
from llmosd.store.files import sync_folder
from llmosd.store.schema import MIGRATIONS

# "llmo": what a catalog is known by, beside its tables.
APPLICATION_ID = 0x6C6C6D6F


def connect(path: Path, scripts: tuple[str, ...] = MIGRATIONS) -> sqlite3.Connection:
    """Open catalog.db, creating or migrating it; an older one is copied to catalog.db.vN.bak first.

    In autocommit: a transaction is `with transaction(connection)`. The connection belongs to the
    thread that opened it. Raises DataCorrupt for a file that is damaged, of a newer daemon, no
    catalog, or cannot be migrated; it is as it was then.
    """
    try:
        version = _version_of(path, len(scripts))
        connection = sqlite3.connect(path, isolation_level=None, timeout=5.0)
    except sqlite3.DatabaseError as error:
        raise DataCorrupt(f"the catalog cannot be opened: {error}") from error
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # Anything weaker loses acknowledged changes when the power goes.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        # What is deleted is overwritten: people may ask for their words to be gone.
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
        if 0 < version < len(scripts):
            copy_catalog(connection, path.with_name(f"{path.name}.v{version}.bak"))
        migrate(connection, scripts)
        if connection.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    except sqlite3.DatabaseError as error:
        connection.close()
        raise DataCorrupt(f"the catalog cannot be opened: {error}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _version_of(path: Path, newest: int) -> int:
    """The version of a file that is a catalog of ours, 0 where there is none; it is only read.

    Raises DataCorrupt, sqlite3.DatabaseError.
    """
    if not path.exists() or not path.stat().st_size:
        return 0
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (application,) = db.execute("PRAGMA application_id").fetchone()
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema")}
    ours = "models" in tables if version else not tables
    if not ours or application not in (0, APPLICATION_ID):
        raise DataCorrupt(
            "catalog.db is another program's database; it is left as it is: move it away, or "
            "choose another state_dir"
        )
    if version > newest:
        raise DataCorrupt(_newer(version, newest))
    return int(version)


def _newer(version: int, newest: int) -> str:
    return (
        f"the catalog has version {version}, written by a newer llmosd; this one knows {newest}: "
        "use the newer one, or the copy that it made beside the catalog"
    )


def copy_catalog(connection: sqlite3.Connection, target: Path) -> None:
    """Copy what the connection sees to a file that is there whole, and durable, or not at all."""
    partial = target.with_name(f".{target.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        with contextlib.closing(sqlite3.connect(partial)) as copy:
            connection.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a -wal beside it
        partial.chmod(0o640)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.rename(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def migrate(connection: sqlite3.Connection, scripts: tuple[str, ...] = MIGRATIONS) -> None:
    """Bring the file to version len(scripts), in one transaction.

    Raises DataCorrupt where it is newer than that, or where a script fails; nothing changed then.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(scripts):
        raise DataCorrupt(_newer(version, len(scripts)))
    if version == len(scripts):
        return
    steps = ";".join(scripts[version:])
    try:
        # executescript runs it statement by statement; the version changes with the tables.
        connection.executescript(
            f"BEGIN IMMEDIATE;{steps};PRAGMA user_version = {len(scripts)};COMMIT;"
        )
    except sqlite3.Error as error:
        if connection.in_transaction:
            connection.rollback()
        raise DataCorrupt(
            f"the catalog cannot be brought from version {version} to {len(scripts)}, and stays as "
            f"it was: {error}"
        ) from error


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what happens inside, durably, or none of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()  # after a COMMIT that the disk had no room for, too
        raise
