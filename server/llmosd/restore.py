"""`llmosd restore`: a state directory from a backup, every byte checked, whole or not at all.

    BACKUP/blobs/sha256/ab/abcd…      contents by digest, shared by all snapshots
    BACKUP/snapshots/TIME.json        which content was where at that moment

The folder is what `llmos backup` writes. The daemon of the state directory must not run: the
directory has to be new, or empty.
"""

import contextlib
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import msgspec

from llmosd.errors import DataCorrupt
from llmosd.store.files import sync_folder
from llmosd.store.run_directory import SPEC, settled

FORMAT = 1
_CHUNK = 1 << 20


class RestoreError(Exception):
    """The restore cannot begin; the message says why, and what to do. Exit status 78."""


class BackedUp(msgspec.Struct, frozen=True):
    """One file of a snapshot: its bytes, and their digest, "sha256:…"."""

    bytes: int
    digest: str


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """snapshots/TIME.json."""

    format: int
    create_time: str
    server_version: str
    schema_version: int
    files: dict[str, BackedUp]


def restore(backup: Path, name: str, state: Path | None) -> Snapshot:
    """Make `state` from a snapshot, by default the newest; None only checks every byte of it.

    Raises:
        RestoreError: no such backup or snapshot; the state directory is not empty.
        DataCorrupt: a file is missing or differs from its digest; nothing is left behind.
        OSError: the state directory cannot be written.
    """
    snapshot = _read(backup, name)
    if state is None:
        for path, file in snapshot.files.items():
            with _content(backup, path, file) as source:
                _copy(path, file, source, None)
        return snapshot
    if state.exists() and (not state.is_dir() or any(state.iterdir())):
        raise RestoreError(
            f"{state} is not empty; stop its daemon and move it away, or give another --state-dir"
        )
    work = state.with_name(f".{state.name}.restoring")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True, mode=0o750)
    try:
        for path, file in snapshot.files.items():
            _restore_file(backup, path, file, work)
        _settle(work, state)
        _check_catalog(work / "catalog.db")
        for folder in [*(each for each in work.rglob("*") if each.is_dir()), work]:
            sync_folder(folder)
        work.rename(state)  # an empty folder gives way
        sync_folder(state.parent)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return snapshot


def _read(backup: Path, name: str) -> Snapshot:
    found = sorted(path.stem for path in (backup / "snapshots").glob("*.json"))
    if not found:
        raise RestoreError(f"{backup} has no snapshots; give the folder that llmos backup wrote")
    if name and name not in found:
        raise RestoreError(f"{backup} has no snapshot {name}; there are {', '.join(found)}")
    try:
        data = (backup / "snapshots" / f"{name or found[-1]}.json").read_bytes()
        snapshot = msgspec.json.decode(data, type=Snapshot)
    except msgspec.MsgspecError as error:
        raise DataCorrupt(f"the snapshot {name or found[-1]} is damaged: {error}") from None
    if snapshot.format != FORMAT:
        raise RestoreError(f"the backup has format {snapshot.format}; this llmosd knows {FORMAT}")
    for path in snapshot.files:
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or not pure.parts:
            raise DataCorrupt(f"the snapshot names {path!r}, which is no place in the state")
    return snapshot


def _restore_file(backup: Path, path: str, file: BackedUp, work: Path) -> None:
    target = work / path
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    with _content(backup, path, file) as source, target.open("xb") as to:
        os.fchmod(to.fileno(), 0o640)
        _copy(path, file, source, to)
        to.flush()
        os.fsync(to.fileno())


@contextlib.contextmanager
def _content(backup: Path, path: str, file: BackedUp) -> Iterator[BinaryIO]:
    digest = file.digest.removeprefix("sha256:")
    try:
        with (backup / "blobs" / "sha256" / digest[:2] / digest).open("rb") as source:
            yield source
    except FileNotFoundError:
        raise DataCorrupt(f"the backup has not the content of {path} ({file.digest})") from None


def _copy(path: str, file: BackedUp, source: BinaryIO, to: BinaryIO | None) -> None:
    digest = hashlib.sha256()
    while data := source.read(_CHUNK):
        digest.update(data)
        if to is not None:
            to.write(data)
    if f"sha256:{digest.hexdigest()}" != file.digest:
        raise DataCorrupt(f"the content of {path} is damaged: it differs from its digest")


def _settle(work: Path, state: Path) -> None:
    """Jobs find what they read in the new place."""
    for spec in work.glob(f"operations/*/{SPEC}"):
        spec.write_bytes(settled(spec.read_bytes(), state.absolute()))
    for name in ("ckpt", "out"):
        for run in work.glob("operations/*"):
            (run / name).mkdir(exist_ok=True, mode=0o750)


def _check_catalog(path: Path) -> None:
    try:
        with contextlib.closing(sqlite3.connect(path)) as catalog:
            (found,) = catalog.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        raise DataCorrupt(f"catalog.db of the backup is damaged: {found}")
