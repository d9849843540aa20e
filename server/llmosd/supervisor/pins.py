"""Versions that requests have been promised, though no engine knows of those requests yet.

Between the moment in which a request's alias means a version and the one in which an engine has the
request, it renders, encodes and checks. A version that is pinned leaves memory meanwhile only where
somebody unloads it by name. Pins are taken without an `await` after the alias was resolved, so no
alias moves in between.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator

from llmosd.store.records import VersionRecord


class Pins:
    """How many pins each version has, by name."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def __contains__(self, name: str) -> bool:
        return self._counts[name] > 0

    @contextlib.contextmanager
    def kept(self, record: VersionRecord) -> Iterator[None]:
        """Pin a version for the length of a block."""
        self._counts[record.name] += 1
        try:
            yield
        finally:
            self._drop(record.name)

    def hold(self, record: VersionRecord) -> None:
        """Pin a version until the call that is being answered, which has a task, has ended."""
        task = asyncio.current_task()
        assert task is not None
        self._counts[record.name] += 1
        task.add_done_callback(lambda _: self._drop(record.name))

    def _drop(self, name: str) -> None:
        self._counts[name] -= 1
        if not self._counts[name]:
            del self._counts[name]
