"""The load in detail, made now and then: a step's frame stays small."""

from collections import Counter

from llmosd.engine.scheduler import Scheduler
from llmosd.ipc.messages import HIGH, EngineLoad

_INTERVAL_SECONDS = 0.25


class Reporter:
    """Describes a scheduler."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._last = 0.0

    def due(self, now: float) -> EngineLoad | None:
        """The load, if the last one is old, or the engine has just become idle."""
        if self._scheduler.has_work and now - self._last < _INTERVAL_SECONDS:
            return None
        return self.load(now)

    def load(self, now: float) -> EngineLoad:
        """The load now, in time.monotonic() seconds."""
        self._last = now
        policy, running = self._scheduler.policy, self._scheduler.running
        forecast = self._scheduler.forecast
        rows, prompt_rate, generated_rate = forecast.pace.rates(now)
        return EngineLoad(
            running=_by_class(Counter(s.request.priority for s in running)),
            waiting=_by_class(Counter(s.request.priority for s in policy.waiting())),
            tenants=policy.shares(running),
            rows_per_step=rows,
            prompt_rate=prompt_rate,
            generated_rate=generated_rate,
            estimated_wait=forecast.wait(running),
            generated_tokens=policy.generated_tokens,
            late=forecast.late,
        )


def _by_class(counts: Counter[int]) -> list[int]:
    return [counts[each] for each in range(HIGH + 1)]
