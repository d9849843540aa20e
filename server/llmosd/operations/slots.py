"""Who may run now: jobs in the order they came, while there is a place and memory for them."""

import asyncio
from collections.abc import Callable

from llmosd.store.run_directory import Resources

# Memory comes back by itself, and nobody says so.
_LOOK_AGAIN_SECONDS = 2.0


class Slots:
    """At most `places` jobs at once, and no more memory than `free_bytes` says there is.

    A job without threads of its own computes nothing, and needs no place.
    """

    def __init__(self, places: int, free_bytes: Callable[[], int]) -> None:
        self._places = places
        self._free_bytes = free_bytes
        self._running: dict[str, Resources] = {}
        self._waiting: dict[str, None] = {}  # in order of arrival
        self._woken: dict[str, asyncio.Event] = {}

    def set_places(self, places: int) -> None:
        """Let so many run at once from now on; what runs goes on."""
        self._places = places
        self._wake_next()

    def try_take(self, job: str, resources: Resources) -> bool:
        """Take a place if it is this job's turn; else stand in the queue, or go on standing."""
        if job in self._running or not resources.threads:
            return True
        self._waiting.setdefault(job)
        if next(iter(self._waiting)) != job or not self._fits(resources):
            return False
        del self._waiting[job]
        self._running[job] = resources
        self._wake_next()
        return True

    def hold(self, job: str, resources: Resources) -> None:
        """Count a job that runs already."""
        self._waiting.pop(job, None)
        if resources.threads:
            self._running[job] = resources

    def give_back(self, job: str) -> None:
        """A job's process is gone; one that waits keeps its turn."""
        if self._running.pop(job, None) is not None:
            self._wake_next()

    def leave(self, job: str) -> None:
        """A job wants nothing any more: neither a place nor its turn."""
        self.give_back(job)
        if job in self._waiting:
            del self._waiting[job]
            self._wake_next()

    def wake(self, job: str) -> None:
        """Make a job look again at what is wanted of it."""
        self._woken.setdefault(job, asyncio.Event()).set()

    async def woken(self, job: str) -> None:
        """Wait until somebody wakes this job, or a moment."""
        event = self._woken.setdefault(job, asyncio.Event())
        try:
            async with asyncio.timeout(_LOOK_AGAIN_SECONDS):
                await event.wait()
        except TimeoutError:
            pass
        event.clear()

    def _wake_next(self) -> None:
        if self._waiting:
            self.wake(next(iter(self._waiting)))

    def _fits(self, resources: Resources) -> bool:
        if len(self._running) >= self._places:
            return False
        # Alone, a job is started whatever it needs: it was told so when it was created.
        return not self._running or resources.memory_bytes <= self._free_bytes()
