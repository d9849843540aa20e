"""How often a peer may come with a token that is not valid."""

import time
from collections.abc import Callable

from llmosd.errors import LimitExceeded

_BURST = 10
_PER_SECOND = 1.0
_MOST_PEERS = 1_000


class BadTokens:
    """A bucket of tries per peer; a valid token is let through whatever its peer tried before."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}

    def count(self, peer: str) -> None:
        """Note one; raises LimitExceeded where there were too many."""
        now = self._clock()
        left, then = self._left.pop(peer, (float(_BURST), now))
        left = min(float(_BURST), left + (now - then) * _PER_SECOND)
        if len(self._left) >= _MOST_PEERS:  # who came longest ago is forgotten
            del self._left[next(iter(self._left))]
        self._left[peer] = (max(0.0, left - 1), now)
        if left < 1:
            raise LimitExceeded(
                "too many calls with tokens that are not valid came from this address; use a token "
                "that is",
                retry_after=1 / _PER_SECOND,
            )


def host_of(peer: str) -> str:
    """A peer without its port, as "ipv4:192.0.2.1"; all of a Unix socket are one."""
    return peer if peer.startswith("unix") else peer.rpartition(":")[0]
