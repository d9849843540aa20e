"""Keeping backups of a daemon's state in a folder of one's own.

    FOLDER/blobs/sha256/ab/abcd…      contents by digest, shared by all snapshots
    FOLDER/snapshots/TIME.json        which content was where at that moment

A snapshot is written last, so one that is there is whole. `llmosd restore` reads it. Who writes
holds a lock of FOLDER/.lock.
"""

import errno
import fcntl
import hashlib
import json
import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from llmos.v1 import backup_pb2 as pb
from llmos_client.errors import DataCorruptError
from llmos_client.results import OperationProgress
from llmos_client.upload import OnProgress

FORMAT = 1
_DIGESTS_PER_MESSAGE = 1_000


@dataclass(frozen=True, slots=True)
class Backup:
    """A snapshot that was written: its name, what is in it, and how much of that is new.

    `removed_snapshots` are older ones that went, and `freed_bytes` what only they had.
    """

    name: str
    files: int
    bytes: int
    new_files: int
    new_bytes: int
    removed_snapshots: int = 0
    freed_bytes: int = 0


class BackupWriter:
    """Takes the messages of BackUpState: the list, `requests` for what is missing, contents."""

    def __init__(self, folder: Path, on_progress: OnProgress | None = None) -> None:
        """Create what is missing; raises OSError, BlockingIOError while another one writes."""
        self._blobs = folder / "blobs" / "sha256"
        self._snapshots = folder / "snapshots"
        # Prompts and tokens' hashes: for nobody else.
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for each in (self._blobs, self._snapshots):
            each.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = _locked(folder)
        self._on_progress = on_progress
        self._head = pb.BackupFiles()
        self._listed: list[pb.BackupFile] = []
        self._missing: dict[str, int] = {}
        self._done = 0
        self._output: IO[bytes] | None = None
        self._hash = hashlib.sha256()

    def add(self, part: pb.BackupFiles) -> bool:
        """Take a part of the list; returns whether it was the last one."""
        self._head = part
        self._listed += part.files
        return part.complete

    def requests(self) -> list[pb.BackUpStateRequest]:
        """What to ask for: the contents that are not here yet."""
        sizes = {file.digest: file.byte_size for file in self._listed}
        self._missing = {d: size for d, size in sizes.items() if not self._blob(d).exists()}
        digests = list(self._missing)
        return [
            pb.BackUpStateRequest(digests=digests[at : at + _DIGESTS_PER_MESSAGE])
            for at in range(0, len(digests), _DIGESTS_PER_MESSAGE)
        ]

    def take(self, chunk: pb.BackupChunk) -> None:
        """Keep a part of a content; raises DataCorruptError where it is not what it should be."""
        path = self._blob(chunk.digest)
        if self._output is None:
            path.parent.mkdir(exist_ok=True, mode=0o700)
            self._output, self._hash = path.with_suffix(".partial").open("wb"), hashlib.sha256()
        self._output.write(chunk.data)
        self._hash.update(chunk.data)
        self._done += len(chunk.data)
        if self._on_progress is not None:
            total = sum(self._missing.values())
            self._on_progress(OperationProgress("back up", self._done, total, "bytes"))
        if chunk.last:
            if f"sha256:{self._hash.hexdigest()}" != chunk.digest:
                raise DataCorruptError(
                    f"a file of the daemon differs from its digest: {self._name(chunk.digest)}; "
                    "its disk is damaged",
                    code="DATA_LOSS",
                )
            _close(self._output)
            self._output = None
            path.with_suffix(".partial").rename(path)

    def finish(self, keep: int | None = None) -> Backup:
        """Write the snapshot, durably: from here on it is there.

        Then of all snapshots only the newest `keep` stay, if that is given: at least this one.
        """
        moment = datetime.now(UTC)
        name = moment.strftime("%Y%m%dT%H%M%S.%fZ")
        files = {f.path: {"bytes": f.byte_size, "digest": f.digest} for f in self._listed}
        snapshot = {
            "format": FORMAT,
            "create_time": moment.isoformat(),
            "server_version": self._head.server_version,
            "schema_version": self._head.schema_version,
            "files": files,
        }
        partial = self._snapshots / f".{name}.partial"
        with partial.open("w") as file:
            json.dump(snapshot, file, indent=1)
            _close(file)
        for folder in {self._blob(digest).parent for digest in self._missing} | {self._blobs}:
            _sync(folder)
        partial.rename(self._snapshots / f"{name}.json")
        _sync(self._snapshots)
        size = sum(file.byte_size for file in self._listed)
        made = Backup(name, len(files), size, len(self._missing), self._done)
        return made if keep is None else self._pruned(made, keep)

    def _pruned(self, made: Backup, keep: int) -> Backup:
        """Remove the snapshots before the newest ones, and then what no snapshot has any more."""
        every = sorted(self._snapshots.glob("*.json"))
        kept = every[-max(keep, 1) :]
        # First of all what the others have: a snapshot that cannot be read removes nothing.
        used = {file["digest"] for path in kept for file in _files(path).values()}
        old = every[: -len(kept)]
        for path in old:
            path.unlink()
        _sync(self._snapshots)
        freed = 0
        for path in self._blobs.glob("*/*"):
            if f"sha256:{path.name}" not in used:
                freed += path.stat().st_size
                path.unlink()
        return replace(made, removed_snapshots=len(old), freed_bytes=freed)

    def discard(self) -> None:
        """Remove half a content, let others write; what is whole serves the next backup."""
        if self._output is not None:
            self._output.close()
            Path(self._output.name).unlink(missing_ok=True)
        self._lock.close()

    def _blob(self, digest: str) -> Path:
        digits = digest.removeprefix("sha256:")
        return self._blobs / digits[:2] / digits

    def _name(self, digest: str) -> str:
        return next(file.path for file in self._listed if file.digest == digest)


def _locked(folder: Path) -> IO[Any]:
    lock = (folder / ".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        words = "another backup is being written to it"
        raise BlockingIOError(error.errno, words, str(folder)) from None
    return lock


def _files(snapshot: Path) -> dict[str, dict[str, Any]]:
    """What was where; raises OSError where it cannot be read."""
    try:
        files: dict[str, dict[str, Any]] = json.loads(snapshot.read_text())["files"]
    except (ValueError, KeyError):
        raise OSError(
            errno.EBADMSG, "the snapshot is damaged, so nothing was removed", snapshot
        ) from None
    return files


def _close(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
