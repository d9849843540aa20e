"""Who may run now: jobs in the order they came, while there is a place and memory for them."""

import asyncio
from collections.abc import Callable

from llmosd.store.run_directory import Resources


class Slots:
    """At most `places` jobs at once, and no more memory than `free_bytes` says there is."""

    def __init__(self, places: int, free_bytes: Callable[[], int]) -> None:
        self._places = places
        self._free_bytes = free_bytes
        self._running: dict[str, Resources] = {}
        self._waiting: dict[str, None] = {}  # in order of arrival
        self._woken: dict[str, asyncio.Event] = {}

    def try_take(self, job: str, resources: Resources) -> bool:
        """Take a place if it is this job's turn; else stand in the queue."""
        if job in self._running:
            return True
        self._waiting.setdefault(job)
        if next(iter(self._waiting)) != job or not self._fits(resources):
            return False
        del self._waiting[job]
        self._running[job] = resources
        return True

    def hold(self, job: str, resources: Resources) -> None:
        """Count a job that runs already."""
        self._waiting.pop(job, None)
        self._running[job] = resources

    def release(self, job: str) -> None:
        """Give a place back, or leave the queue; whoever is next may look again."""
        self._running.pop(job, None)
        self._waiting.pop(job, None)
        if self._waiting:
            self.wake(next(iter(self._waiting)))

    def wake(self, job: str) -> None:
        """Make a job look again at what is wanted of it."""
        self._woken.setdefault(job, asyncio.Event()).set()

    async def woken(self, job: str) -> None:
        """Wait until somebody wakes this job, or a moment: memory comes back by itself."""
        event = self._woken.setdefault(job, asyncio.Event())
        try:
            async with asyncio.timeout(_LOOK_AGAIN_SECONDS):
                await event.wait()
        except TimeoutError:
            pass
        event.clear()

    def _fits(self, resources: Resources) -> bool:
        if len(self._running) >= self._places:
            return False
        # Alone, a job is started whatever it needs: it was told so when it was created.
        return not self._running or resources.memory_bytes <= self._free_bytes()


_LOOK_AGAIN_SECONDS = 2.0
