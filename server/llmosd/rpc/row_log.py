"""What a job inside has done so far, a line of JSON each: it goes on with the rest."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Generic, Self, TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)
Item = TypeVar("Item")


class RowLog(Generic[T]):
    """Appends lines to a file; what an earlier run of the job did not finish writing is cut off."""

    def __init__(self, path: Path, kind: type[T]) -> None:
        """Open or create it; `lines` are those of earlier runs."""
        path.touch()
        whole = path.read_bytes()
        os.truncate(path, whole.rfind(b"\n") + 1)
        self.lines = read_log(path, kind)
        self._file: BinaryIO = path.open("ab", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, line: T) -> None:
        """Append one; durable after `sync`."""
        self._file.write(msgspec.json.encode(line) + b"\n")

    def sync(self) -> None:
        """All lines are on disk when this returns."""
        os.fsync(self._file.fileno())


def read_log(path: Path, kind: type[T]) -> list[T]:
    """The lines of a log, in the order they were written."""
    decoder = msgspec.json.Decoder(kind)
    return [decoder.decode(line) for line in path.read_bytes().splitlines()]


async def side_by_side(
    items: Iterator[Item], work: Callable[[Item], Awaitable[None]], count: int
) -> None:
    """Work on all items, `count` at a time; the first that raises ends the others."""

    async def worker() -> None:
        for item in items:
            await work(item)

    workers = [asyncio.create_task(worker()) for _ in range(count)]
    try:
        await asyncio.gather(*workers)
    finally:
        for each in workers:
            each.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
