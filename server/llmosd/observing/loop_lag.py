"""Is the event loop on time? Everything in the daemon waits where it is not.

systemd's watchdog is fed from here, so a loop that hangs for its WatchdogSec ends the daemon.
"""

import asyncio
import os
import time
from collections import deque

from prometheus_client import CollectorRegistry, Histogram

from llmosd.sd_notify import notify

_PERIOD_SECONDS = 1.0
_REMEMBERED = 60


class LoopLag:
    """Looks every second how late it is itself."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lag = Histogram(
            "llmos_event_loop_lag_seconds",
            "How late the daemon's event loop was, looked at every second.",
            buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0),
            registry=registry,
        )
        self._recent = deque[float](maxlen=_REMEMBERED)
        self._watched = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._watched = self._watched and "WATCHDOG_USEC" in os.environ

    @property
    def watched(self) -> bool:
        """Whether systemd waits for signs of life."""
        return self._watched

    @property
    def worst(self) -> float:
        """The longest of the last minute, in seconds."""
        return max(self._recent, default=0.0)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            due = time.monotonic() + _PERIOD_SECONDS
            await asyncio.sleep(_PERIOD_SECONDS)
            late = max(time.monotonic() - due, 0.0)
            self._recent.append(late)
            self._lag.observe(late)
            if self._watched:
                notify("WATCHDOG=1", wait=False)
