"""The audit log's file: JSON, one object a line, only ever appended to, renamed when it is full.

`audit.jsonl` is the newest; then audit.1.jsonl and so on, of which the oldest is dropped.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

_NAME = "audit.jsonl"
_MODE = 0o640


class AuditFile:
    """Open from the start to the end of the daemon."""

    def __init__(self, folder: Path, *, max_bytes: int = 16 * 1024 * 1024, keep: int = 8) -> None:
        """Open or create it; raises OSError."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._keep = keep
        self._open()

    def append(self, entry: Mapping[str, Any], *, durable: bool) -> None:
        """Write one line, and with `durable` have it on disk on return; raises OSError."""
        line = msgspec.json.encode(entry) + b"\n"
        if self._size and self._size + len(line) > self._max_bytes:
            self._rotate()
        # One write: a line is there whole, or the power went.
        self._size += os.write(self._descriptor, line)
        if durable:
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Have everything on disk."""
        os.fsync(self._descriptor)
        os.close(self._descriptor)

    def _open(self) -> None:
        path = self._folder / _NAME
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, _MODE)
        self._size = os.fstat(self._descriptor).st_size
        if self._size and os.pread(self._descriptor, 1, self._size - 1) != b"\n":
            # The power went while a line was written: the next one begins anew.
            self._size += os.write(self._descriptor, b"\n")
        self._sync_folder()

    def _rotate(self) -> None:
        self.close()
        for number in range(self._keep - 1, 0, -1):
            newer = self._folder / (f"audit.{number - 1}.jsonl" if number > 1 else _NAME)
            if newer.exists():
                newer.replace(self._folder / f"audit.{number}.jsonl")
        self._open()

    def _sync_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
