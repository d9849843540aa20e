"""What following an operation has to remember between one connection and the next."""

import time
from collections.abc import Callable
from typing import Any

from llmos.v1 import operation_service_pb2
from llmos_client import parsing_operations
from llmos_client.errors import DaemonUnreachable, LlmosError
from llmos_client.results import OperationEvent

RECONNECT_SECONDS = 60.0
_FIRST_DELAY = 0.1
_LONGEST_DELAY = 5.0


class Watch:
    """The place in an operation's events, and how patient to be when the daemon is away."""

    def __init__(
        self,
        name: str,
        after_sequence: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.sequence = after_sequence
        self.done = False
        self._clock = clock
        self._away_since: float | None = None
        self._delay = _FIRST_DELAY

    def request(self) -> operation_service_pb2.WatchOperationRequest:
        """Ask for what comes after the last event seen."""
        return operation_service_pb2.WatchOperationRequest(
            name=self.name, after_sequence=self.sequence
        )

    def accept(self, proto: Any) -> OperationEvent | None:
        """Take an event; heartbeats, and what was seen before, are None."""
        self._away_since = None
        self._delay = _FIRST_DELAY
        event = parsing_operations.operation_event(proto)
        if event is None or event.sequence <= self.sequence:
            return None
        self.sequence = event.sequence
        self.done = event.done is not None
        return event

    def delay_after(self, error: LlmosError | None) -> float:
        """Say how long to wait before connecting again; raise `error` where that is no use.

        None stands for a stream that ended before the operation did.
        """
        if error is not None and not _is_away(error):
            raise error
        now = self._clock()
        if self._away_since is None:
            self._away_since = now
        if now - self._away_since > RECONNECT_SECONDS:
            raise error or DaemonUnreachable(f"{self.name}: events stopped", code="UNAVAILABLE")
        delay, self._delay = self._delay, min(self._delay * 2, _LONGEST_DELAY)
        return max(delay, (error and error.retry_after) or 0.0)


def _is_away(error: LlmosError) -> bool:
    return isinstance(error, DaemonUnreachable) or error.code == "UNAVAILABLE"
