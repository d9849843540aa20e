"""Means over the steps between two reports."""

from llmosd.jobs.training.checkpoint import RunState
from llmosd.jobs.training.events import Events, Metric


class Meter:
    """Adds up steps, and reports every `every` of them, counted from the run's first."""

    def __init__(self, events: Events, every: int, steps: int) -> None:
        """`steps` are those of the whole run; nothing is added yet."""
        self._events = events
        self._all = steps
        self._every = max(1, every)
        self.reset()

    def reset(self) -> None:
        """Forget what was not reported."""
        self._sums: dict[str, float] = {}
        self._steps = self._tokens = 0
        self._seconds = 0.0

    def add(
        self,
        run: RunState,
        means: dict[str, float],
        rate: float,
        norm: float,
        tokens: int,
        seconds: float,
    ) -> None:
        """One step's; `run.step` counts it already."""
        for name, value in means.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._steps += 1
        self._tokens += tokens
        self._seconds += seconds
        if run.step % self._every and run.step != 1:
            return
        metrics = {name: value / self._steps for name, value in self._sums.items()}
        self._events(
            Metric(
                step=run.step,
                steps=self._all,
                loss=metrics.pop("loss"),
                learning_rate=rate,
                grad_norm=norm,
                tokens=run.tokens,
                tokens_per_second=self._tokens / max(self._seconds, 1e-9),
                metrics=metrics,
            )
        )
        self.reset()
