"""The job that trains: dataset to tokens, tokens to weights, weights to a version's folder."""

import math
from collections.abc import Callable

from llmosd.errors import OperationInterrupted
from llmosd.jobs.context import JobContext, JobInterrupted
from llmosd.jobs.specs import TrainSpec
from llmosd.jobs.training import events
from llmosd.jobs.training.prepare import prepare
from llmosd.jobs.training.run import train
from llmosd.store.run_directory import portable
from llmosd.store.run_events import (
    CheckpointEvent,
    JobEvent,
    MetricEvent,
    SampleEvent,
    WarningEvent,
)


def run(spec: TrainSpec, context: JobContext) -> events.TrainResult:
    """Train, going on from the newest checkpoint; see training.run for what it raises."""
    cache = context.folder.parent.parent / "tokens"
    data = prepare(spec, context.folder, cache, context)
    teller = _Teller(context, evaluates=data.validation is not None)
    try:
        return train(
            spec,
            data.train,
            data.validation,
            data.files,
            context.folder,
            teller,
            _control(context),
            portable(bytes(context.run.order().job), context.run.path.parents[1]),
            context.give_way,
        )
    except OperationInterrupted:
        raise JobInterrupted("pause" if context.wish() == "pause" else "stop") from None


def _control(context: JobContext) -> Callable[[], events.Order]:
    def control() -> events.Order:
        context.give_way()
        wish = context.wish()
        # A paused job has no process: its memory is somebody else's meanwhile.
        return "stop" if wish == "pause" else wish

    return control


class _Teller:
    """Writes what training says as the job's events; steps done again are not told again."""

    def __init__(self, context: JobContext, *, evaluates: bool) -> None:
        self._context = context
        self._evaluates = evaluates
        self._last: dict[str, int] = {}
        for event in context.history:
            key = _key(event)
            if key is not None:
                self._last[key[0]] = key[1]

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.Evaluation) and not self._evaluates:
            return  # without rows of its own, it is a mean of what was told already
        told = _translated(event)
        key = _key(told)
        if key is not None:
            kind, step = key
            if step <= self._last.get(kind, -1):
                return
            if kind != "sample":  # several after one step
                self._last[kind] = step
        self._context.emit(told, durable=isinstance(told, CheckpointEvent))
        if isinstance(event, events.Metric):
            self._context.report("train", event.step, event.steps, "steps")


def _key(event: JobEvent) -> tuple[str, int] | None:
    """What is told once for each step."""
    match event:
        case MetricEvent(step, source):
            return source, step
        case CheckpointEvent(step):
            return "checkpoint", step
        case SampleEvent(step):
            return "sample", step
    return None


def _translated(event: events.Event) -> JobEvent:
    match event:
        case events.Metric():
            values = {
                "loss": event.loss,
                "learning_rate": event.learning_rate,
                "grad_norm": event.grad_norm,
                "tokens": float(event.tokens),
                "tokens_per_second": event.tokens_per_second,
                **event.metrics,
            }
            return MetricEvent(event.step, "training", _finite(values))
        case events.Evaluation():
            return MetricEvent(event.step, "evaluation", _finite(event.metrics))
        case events.CheckpointSaved():
            return CheckpointEvent(event.step)
        case events.Sample():
            return SampleEvent(event.step, event.prompt, event.text)
        case events.Warned():
            return WarningEvent(event.message)
    raise AssertionError(event)


def _finite(values: dict[str, float]) -> dict[str, float]:
    """What JSON can hold: a warning tells of the rest."""
    return {name: value for name, value in values.items() if math.isfinite(value)}
