"""Whether a request can begin in time, and how long one would wait."""

from llmosd.engine.pace import Pace
from llmosd.engine.policy import Policy
from llmosd.engine.sequence import Sequence
from llmosd.errors import DeadlineUnattainable
from llmosd.ipc.messages import NORMAL


class Forecast:
    """Looks ahead in the policy's queue at the measured pace."""

    def __init__(self, policy: Policy, places: int) -> None:
        """`places` answers run at once."""
        self._policy = policy
        self._places = places
        self.pace = Pace()
        self.late = 0
        """Generations refused or dropped for their deadline."""

    def check(
        self, newcomer: Sequence, running: list[Sequence], known: int, seconds: float
    ) -> None:
        """Refuse what could not begin within `seconds`; `known` tokens of it are in the cache.

        Raises:
            DeadlineUnattainable: when even an optimistic estimate is later.
        """
        own = newcomer.request.priority
        estimate = self.pace.wait(
            [s for s in running if s.standing >= own],
            self._policy.ahead(newcomer, self.pace.left),
            places=self._places,
            own_tokens=len(newcomer.tokens) - known,
        )
        if estimate > seconds:
            self.late += 1
            raise DeadlineUnattainable(
                f"the first token would come in {estimate:.3g} s at best, and the call's deadline "
                f"is in {max(seconds, 0.0):.3g} s; allow more time, or try again later",
                metadata={
                    "estimate_seconds": f"{estimate:.3f}",
                    "deadline_seconds": f"{max(seconds, 0.0):.3f}",
                },
            )

    def wait(self, running: list[Sequence]) -> float:
        """Seconds until one behind all that waits in NORMAL and HIGH could begin, with luck."""
        ahead = [s for s in self._policy.waiting() if s.request.priority >= NORMAL]
        running = [s for s in running if s.standing >= NORMAL]
        return self.pace.wait(running, ahead, places=self._places)
