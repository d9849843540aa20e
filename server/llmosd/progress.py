"""How long-running work says how far it is, and hears that it should stop."""

from typing import Protocol


class Progress(Protocol):
    """What a job is given; a job never knows whether anybody watches."""

    def report(self, stage: str, completed: int = 0, total: int = 0, unit: str = "") -> None:
        """Say how far `stage` is; `total` 0 means not known."""

    def check_cancelled(self) -> None:
        """Raise errors.OperationCancelled once somebody asked to stop."""
