"""The learning rate as a pure function of the step: the same after a resume, by construction."""

import math
from collections.abc import Callable

from llmosd.jobs.specs import ScheduleSpec


def learning_rate(spec: ScheduleSpec, peak: float, step: int, steps: int) -> float:
    """Of `step`, counted from 0, of `steps`.

    The warm-up rises by equal amounts to `peak`, which the step after it has; the rest is spread
    over the steps from there to `steps`, where `spec.minimum * peak` is reached.
    """
    if step < spec.warmup_steps:
        return peak * (step + 1) / (spec.warmup_steps + 1)
    left = max(1, steps - spec.warmup_steps)
    done = min(1.0, (step - spec.warmup_steps) / left)
    share = _SHAPES[spec.name](done, spec)
    return peak * (spec.minimum + share * (1 - spec.minimum))


def _constant(done: float, spec: ScheduleSpec) -> float:
    del done, spec
    return 1.0


def _linear(done: float, spec: ScheduleSpec) -> float:
    del spec
    return 1.0 - done


def _cosine(done: float, spec: ScheduleSpec) -> float:
    """Loshchilov and Hutter, 2017: half a wave."""
    del spec
    return 0.5 * (1 + math.cos(math.pi * done))


def _wsd(done: float, spec: ScheduleSpec) -> float:
    """Warm-up, stable, decay (Hu et al., 2024): at the peak, then down in a line."""
    if done < 1 - spec.decay_share:
        return 1.0
    return (1 - done) / spec.decay_share


_SHAPES: dict[str, Callable[[float, ScheduleSpec], float]] = {
    "constant": _constant,
    "linear": _linear,
    "cosine": _cosine,
    "wsd": _wsd,
}
