"""Who may wait for a model when no more can: the queue is shared out among tenants, too.

When it is full, who has most in it, for its weight, loses its lowest and latest one: the newcomer,
or one that waits already (as in longest-queue-drop, McKenney 1990). What has begun stays.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from llmosd.errors import QueueFull

RETRY_SECONDS = 1.0


@dataclass(slots=True)
class _Entry:
    tenant: str
    priority: int
    waiting: bool = True


class Admission:
    """The generations that one engine has, by number."""

    def __init__(self, most: int, weights: Mapping[str, float]) -> None:
        """`most` run and wait together; `weights` are the tenants' shares that are not 1."""
        self._most = most
        self._weights = weights
        self._entries: dict[int, _Entry] = {}

    def set_weights(self, weights: Mapping[str, float]) -> None:
        """Share by these from now on."""
        self._weights = weights

    def enter(self, number: int, tenant: str, priority: int) -> int | None:
        """Take one in.

        Returns:
            Who has to go for it; None: nobody.

        Raises:
            QueueFull: nobody has to, and there is no room.
        """
        loser = None
        if len(self._entries) >= self._most:
            loser = self._loser(tenant, priority)
            if loser is None:
                raise self.full()
            del self._entries[loser]
        self._entries[number] = _Entry(tenant, priority)
        return loser

    def begin(self, number: int) -> None:
        """Note that one runs."""
        self._entries[number].waiting = False

    def leave(self, number: int) -> None:
        """Note that one is over."""
        self._entries.pop(number, None)

    def full(self) -> QueueFull:
        """Make the refusal."""
        return QueueFull(
            f"{self._most} generations run or wait for this model, and nobody has more of them "
            "than this tenant; try again soon",
            retry_after=RETRY_SECONDS,
        )

    def _loser(self, tenant: str, priority: int) -> int | None:
        waiting = {number: entry for number, entry in self._entries.items() if entry.waiting}
        counts = Counter(entry.tenant for entry in waiting.values())
        counts[tenant] += 1
        # Where several have as much, the newcomer: nobody is put out for an equal.
        most = max(counts, key=lambda name: (counts[name] / self._weight(name), name == tenant))
        own = {n: e for n, e in waiting.items() if e.tenant == most}
        if most == tenant:
            own = {n: e for n, e in own.items() if e.priority < priority}
        return min(own, key=lambda number: (own[number].priority, -number), default=None)

    def _weight(self, tenant: str) -> float:
        return self._weights.get(tenant, 1.0)
