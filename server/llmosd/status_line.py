"""What `systemctl status llmosd` says: STATUS= of sd_notify(3), kept true while things happen.

Nothing is scheduled while nothing happens: an idle daemon sleeps.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from llmosd.sd_notify import notify

# Between two lines at least: a busy daemon says it once a second, not with every call.
_SECONDS = 1.0


class Work(NamedTuple):
    """What there is to do: models in memory, generations, those of them that wait, and jobs."""

    models: int
    generations: int
    waiting: int
    jobs: int


class StatusLine:
    """Tells the service manager when `changed` was called, and goes on while there is work."""

    def __init__(self, where: str, look: Callable[[], Work]) -> None:
        """`where` is where the daemon listens; `look` counts."""
        self._where = where
        self._look = look
        self._said = ""
        self._due: asyncio.TimerHandle | None = None

    def changed(self) -> None:
        """Something began or ended: say so within a second."""
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(_SECONDS, self._say)

    def text(self, work: Work) -> str:
        """The line."""
        parts = [f"{_count(work.models, 'model')} loaded", _count(work.generations, "generation")]
        if work.waiting:
            parts[-1] += f" ({work.waiting} waiting)"
        parts.append(_count(work.jobs, "job"))
        return f"serving on {self._where}; {', '.join(parts)}"

    def close(self) -> None:
        """Say nothing more."""
        if self._due is not None:
            self._due.cancel()

    def _say(self) -> None:
        self._due = None
        work = self._look()
        text = self.text(work)
        if text != self._said:
            notify(f"STATUS={text}")
            self._said = text
        if work.generations:  # those that wait begin without a word
            self.changed()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
