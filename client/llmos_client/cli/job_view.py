"""A job as a person watches it: a bar and a curve on a terminal, lines anywhere else."""

import shutil
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from llmos_client.cli.output import (
    human_bytes,
    human_count,
    human_seconds,
    note,
    print_fields,
    print_json,
    print_json_line,
)
from llmos_client.curves import Curve, plot

if TYPE_CHECKING:
    from llmos_client.cli.options import Settings
    from llmos_client.client import Client
    from llmos_client.operations import (
        Operation,
        OperationEvent,
        OperationProgress,
        StepMetrics,
    )
    from llmos_client.training import TrainingEstimate

_LINE_SECONDS = 2.0
_REDRAW_SECONDS = 0.5
_SHOWN = ("loss", "perplexity", "accuracy", "f1", "learning_rate", "tokens_per_second")


def job_name(job: str) -> str:
    """Spell a job's full name: operations/ID."""
    return job if job.startswith("operations/") else f"operations/{job}"


def collect(client: "Client", name: str) -> Curve:
    """Collect what a job said up to now."""
    last = client.get_operation(name).sequence
    curve = Curve()
    if last:
        for event in client.watch_operation(name):
            curve.add(event)
            if event.sequence >= last:
                break
    return curve


def follow(client: "Client", name: str, settings: "Settings", *, after: int = 0) -> int:
    """Show a job's events until it ends; raises the error it ended in."""
    view: JsonView | TerminalView | LineView
    if settings.json:
        view = JsonView()
    elif sys.stdout.isatty():
        view = TerminalView(name)
    else:
        view = LineView()
    try:
        with view:
            for event in client.watch_operation(name, after_sequence=after):
                view.show(event)
                if event.done is not None:
                    return _ended(event.done, settings)
    except KeyboardInterrupt:
        job = name.removeprefix("operations/")
        note(f"the job goes on; llmos watch {job} follows it, llmos cancel {job} ends it")
        return 130
    return 0


def print_estimate(estimate: "TrainingEstimate", settings: "Settings") -> None:
    """Say what a job would take."""
    if settings.json:
        print_json({"estimate": estimate})
        return
    trainable = estimate.trainable_parameter_count
    print_fields(
        [
            ("parameters", f"{estimate.parameter_count:,}"),
            ("trained", f"{trainable:,} ({human_count(trainable)})"),
            ("memory", human_bytes(estimate.memory_bytes)),
            ("disk", human_bytes(estimate.disk_bytes)),
            ("steps", f"{estimate.steps:,}"),
            ("time", f"about {human_seconds(estimate.seconds)}"),
        ]
    )


def show_curve(curve: Curve, metric: str, width: int = 0, height: int = 0) -> str:
    """Draw a metric of training and evaluation as text."""
    size = shutil.get_terminal_size()
    series = [
        (f"{metric} ({source})", *curve.series(source, metric))
        for source in ("training", "evaluation")
    ]
    shown = [each for each in series if each[1]]
    return plot(shown, width or max(20, size.columns - 20), height or 15)


class JsonView:
    """One line of JSON per event."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, event: "OperationEvent") -> None:
        """Print the event."""
        print_json_line(event)


class LineView:
    """Plain lines, at most one every two seconds where nothing special happens."""

    def __init__(self) -> None:
        self._printed_at = 0.0
        self._stage = ""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, event: "OperationEvent") -> None:
        """Print the event if it is worth a line."""
        often = event.metrics is not None and event.metrics.source == "training"
        if event.progress is not None:
            often = event.progress.stage == self._stage
            self._stage = event.progress.stage
        if often:
            if time.monotonic() - self._printed_at < _LINE_SECONDS:
                return
            self._printed_at = time.monotonic()
        text = describe(event)
        if text:
            print(text, flush=True)


class TerminalView:
    """A bar, the last figures and the curve, drawn anew as they change."""

    def __init__(self, name: str) -> None:
        from rich.live import Live

        self._name = name
        self._curve = Curve()
        self._text = ""
        self._stage: Any = None
        self._began = time.monotonic()
        self._first_step: tuple[float, int] | None = None
        self._drawn_at = 0.0
        self._live = Live(refresh_per_second=4, transient=False)

    def __enter__(self) -> None:
        self._live.start()

    def __exit__(self, *_: object) -> None:
        self._draw()
        self._live.stop()

    def show(self, event: "OperationEvent") -> None:
        """Take the event, and draw if it is time."""
        self._curve.add(event)
        if event.progress is not None:
            self._stage = event.progress
            if self._first_step is None and event.progress.unit == "steps":
                self._first_step = (time.monotonic(), event.progress.completed)
        elif event.metrics is None or event.metrics.source == "evaluation":
            text = describe(event)
            if text and event.done is None:
                self._live.console.print(text, markup=False, highlight=False)
        if event.metrics is not None:
            self._text = _figures(event.metrics)
        if time.monotonic() - self._drawn_at > _REDRAW_SECONDS:
            self._draw()

    def _draw(self) -> None:
        from rich.text import Text

        self._drawn_at = time.monotonic()
        lines = [self._bar(), self._text]
        if len(self._curve.training) > 1:
            lines.append(show_curve(self._curve, "loss", height=12))
        self._live.update(Text.from_ansi("\n".join(filter(None, lines))), refresh=True)

    def _bar(self) -> str:
        stage = self._stage
        if stage is None:
            return f"{self._name}: queued"
        if not stage.total:
            return f"{stage.stage}"
        share = min(1.0, stage.completed / stage.total)
        filled = round(30 * share)
        bar = "━" * filled + "╌" * (30 - filled)
        left = self._seconds_left(stage)
        return (
            f"{stage.stage} {bar} {stage.completed:,}/{stage.total:,} {stage.unit}"
            f"{f'  {human_seconds(left)} left' if left is not None else ''}"
        )

    def _seconds_left(self, stage: Any) -> float | None:
        # By the steps seen here: those before a resumption took no time of this run.
        if self._first_step is None or stage.unit != "steps":
            return None
        at, step = self._first_step
        done = stage.completed - step
        if done <= 0:
            return None
        return float((time.monotonic() - at) / done * (stage.total - stage.completed))


def describe(event: "OperationEvent") -> str:
    """Write an event as one line; "" for what needs none."""
    text = ""
    if event.metrics is not None:
        kind = "evaluation" if event.metrics.source == "evaluation" else "step"
        text = f"{kind} {event.metrics.step}: {_figures(event.metrics)}"
    elif event.sample is not None:
        text = f"step {event.sample.step}: {event.sample.prompt!r} -> {event.sample.text!r}"
    elif event.warning is not None:
        text = f"warning: {event.warning}"
    elif event.phase is not None:
        text = str(event.phase)
    elif event.checkpoint is not None:
        text = f"checkpoint after step {event.checkpoint}"
    elif event.progress is not None and event.progress.unit != "steps":
        text = _stage(event.progress)
    return text


def _stage(progress: "OperationProgress") -> str:
    if not progress.total:
        return progress.stage
    return f"{progress.stage} {progress.completed:,}/{progress.total:,} {progress.unit}".rstrip()


def _figures(metrics: "StepMetrics") -> str:
    known = [name for name in _SHOWN if name in metrics.values]
    rest = sorted(set(metrics.values) - set(_SHOWN))
    return "  ".join(f"{name} {_number(metrics.values[name])}" for name in [*known, *rest])


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _ended(operation: "Operation[Any]", settings: "Settings") -> int:
    from llmos_client.cli.evaluation_view import print_evaluation
    from llmos_client.cli.optimization_view import print_optimization, print_sweep
    from llmos_client.datasets import DatasetVersion
    from llmos_client.evaluations import Evaluation
    from llmos_client.feedback import LearnResult
    from llmos_client.optimizations import OptimizationResult, SweepResult
    from llmos_client.training import TrainingResult

    result = operation.result()
    if settings.json:
        return 0
    if isinstance(result, TrainingResult):
        version = result.version
        click.echo(f"made {version.name} after {result.steps:,} steps ({result.ended_by})")
        figures = "  ".join(f"{name} {_number(value)}" for name, value in result.metrics.items())
        if figures:
            click.echo(f"  {figures}")
        click.echo(f"  try: llmos load {version.name}, or llmos show {version.model}")
    elif isinstance(result, LearnResult):
        click.echo(result.outcome)
    elif isinstance(result, OptimizationResult):
        print_optimization(result)
    elif isinstance(result, SweepResult):
        print_sweep(result)
    elif isinstance(result, Evaluation):
        print_evaluation(result)
    elif isinstance(result, DatasetVersion):
        click.echo(f"made {result.name}: {result.row_count:,} rows")
    else:
        click.echo(f"{operation.name} has ended: {operation.state}")
    return 0
