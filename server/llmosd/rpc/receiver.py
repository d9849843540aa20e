"""Taking an upload: the header, then files as they come, in its order, each against its digest."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from llmosd.errors import DataCorrupt, InvalidField, LimitExceeded
from llmosd.full_disk import is_full, no_room
from llmosd.operations.manager import OperationManager
from llmosd.rpc import convert
from llmosd.store.disk import Disk
from llmosd.store.folders import Staging, VersionFolders
from llmosd.store.records import OperationRecord


async def take_upload(
    requests: AsyncIterator[Any],
    store: VersionFolders,
    operations: OperationManager,
    check: Callable[[Any], None],
    start: Callable[[Any, Staging, str], OperationRecord],
) -> OperationRecord:
    """Take a whole upload, then start the operation that works on it.

    `check` sees the header before any content comes; `start` gets header, staging folder and the
    header's digest. Raises what they raise, InvalidField, InsufficientDisk, and DataCorrupt where
    content differs from its digest; then nothing is kept.
    """
    first = await anext(aiter(requests), None)
    if first is None or first.WhichOneof("part") != "header":
        raise InvalidField.of("part", "the first message must be the header")
    header = first.header
    digest = convert.payload_digest(header)
    known = operations.repeated(header.request_id, digest)
    if known is not None:
        return known
    check(header)
    staging = store.stage()
    try:
        await Receiver(header, staging.incoming).run(requests)
        known = operations.repeated(header.request_id, digest)
        if known is not None:  # the same upload, on another call, was quicker
            store.discard(staging)
            return known
        return start(header, staging, digest)
    except BaseException:
        store.discard(staging)
        raise


def check_files(header: Any, disk: Disk, most: int, setting: str, times: int) -> None:
    """Refuse files that share a name, have more than `most` bytes, or do not fit the disk.

    `times` is how many times their size is needed. Raises InvalidField, LimitExceeded,
    InsufficientDisk.
    """
    names = [file.name for file in header.files]
    if len(set(names)) != len(names):
        raise InvalidField.of("header.files", "two files have one name")
    total = sum(file.byte_size for file in header.files)
    if total > most:
        raise LimitExceeded(f"the files have {total} bytes; {setting} is {most}")
    disk.check(times * total, "the upload")


class Receiver:
    """Writes chunks to files, in the header's order."""

    def __init__(self, header: Any, folder: Path) -> None:
        """Files of the header's names, new in `folder`."""
        self._files = header.files
        self._folder = folder
        self._index = 0
        self._written = 0
        self._hash = hashlib.sha256()
        self._output = self._open()

    async def run(self, requests: AsyncIterator[Any]) -> None:
        """Take all chunks. Raises InvalidField, DataCorrupt, InsufficientDisk."""
        try:
            async for request in requests:
                if request.WhichOneof("part") != "chunk":
                    raise InvalidField.of("part", "after the header come chunks only")
                self._skip_empty()
                await asyncio.to_thread(self._take, request.chunk)
            self._skip_empty()
        finally:
            os.close(self._output)
        if self._index < len(self._files):
            file = self._files[self._index]
            raise DataCorrupt(
                f"the upload ended {file.byte_size - self._written} bytes into {file.name} early"
            )

    def _take(self, chunk: Any) -> None:
        if self._index == len(self._files) or chunk.file != self._index:
            raise InvalidField.of("chunk.file", f"expected {self._index}, got {chunk.file}")
        file = self._files[self._index]
        self._written += len(chunk.data)
        if self._written > file.byte_size:
            raise DataCorrupt(f"{file.name} has more than the {file.byte_size} bytes declared")
        self._write(chunk.data)
        self._hash.update(chunk.data)
        self._close_full()

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._output, data) :]
        except OSError as error:
            if not is_full(error):
                raise
            raise no_room() from None

    def _skip_empty(self) -> None:
        """Files of no bytes get no chunk."""
        while self._index < len(self._files) and self._files[self._index].byte_size == 0:
            self._close_full()

    def _close_full(self) -> None:
        file = self._files[self._index]
        if self._written < file.byte_size:
            return
        if self._hash.hexdigest() != file.digest.removeprefix("sha256:"):
            raise DataCorrupt(
                f"{file.name} differs from its digest; send it again, or correct the digest"
            )
        os.close(self._output)
        self._index += 1
        self._written = 0
        self._hash = hashlib.sha256()
        self._output = self._open()

    def _open(self) -> int:
        if self._index == len(self._files):
            return os.open(os.devnull, os.O_WRONLY)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self._folder / self._files[self._index].name, flags, 0o640)
