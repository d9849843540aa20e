"""Backups: a snapshot of the state, sent to whoever keeps it, but for what they have already."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

from llmos.v1 import backup_pb2 as pb
from llmosd import __version__
from llmosd.errors import InvalidField
from llmosd.store.schema import MIGRATIONS
from llmosd.store.snapshot import SnapshotFile, Snapshots

_CHUNK = 1 << 20
_FILES_PER_MESSAGE = 1_000


class Backups:
    """Streams of backups."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots

    async def send(self, requests: AsyncIterator[Any]) -> AsyncIterator[pb.BackUpStateResponse]:
        """The list of files, then the content of those that are asked for.

        Raises InvalidField for a digest that is not in the list, UnsafeFile.
        """
        await anext(requests, None)
        async with self._snapshots.take() as files:
            for at in range(0, len(files), _FILES_PER_MESSAGE):
                yield _list(files[at : at + _FILES_PER_MESSAGE])
            yield _list([], complete=True)
            known = {file.digest: file for file in files}
            async for request in requests:
                for digest in request.digests:
                    if digest not in known:
                        raise InvalidField.of("digests", f"{digest} is not in the list")
                    async for chunk in _content(known[digest]):
                        yield pb.BackUpStateResponse(chunk=chunk)


async def _content(file: SnapshotFile) -> AsyncIterator[pb.BackupChunk]:
    with os.fdopen(file.open(), "rb") as source:
        left = file.byte_size
        while True:
            data = await asyncio.to_thread(source.read, min(_CHUNK, left))
            left -= len(data)
            last = left == 0 or not data
            yield pb.BackupChunk(digest=file.digest, data=data, last=last)
            if last:
                return


def _list(files: list[SnapshotFile], *, complete: bool = False) -> pb.BackUpStateResponse:
    part = pb.BackupFiles(
        complete=complete, server_version=__version__, schema_version=len(MIGRATIONS)
    )
    for file in files:
        part.files.add(path=file.path, byte_size=file.byte_size, digest=file.digest)
    return pb.BackUpStateResponse(files=part)
