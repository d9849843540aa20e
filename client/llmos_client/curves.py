"""The figures of a training job, step by step: from its events to a table, a picture, a file."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from llmos_client.errors import FeatureUnavailableError
from llmos_client.operations import OperationEvent


@dataclass(frozen=True, slots=True)
class Point:
    """The figures of one step."""

    step: int
    time: datetime | None
    values: Mapping[str, float]


@dataclass(slots=True)
class Curve:
    """What a job said so far, each step once: of the training, and of its evaluations."""

    training: list[Point] = field(default_factory=list)
    evaluation: list[Point] = field(default_factory=list)

    def add(self, event: OperationEvent) -> None:
        """Take an event; what is no figure of a step is left."""
        if event.metrics is None:
            return
        points = self.evaluation if event.metrics.source == "evaluation" else self.training
        points.append(Point(event.metrics.step, event.time, event.metrics.values))

    @classmethod
    def of(cls, events: Iterable[OperationEvent]) -> "Curve":
        """Collect a job's events."""
        curve = cls()
        for event in events:
            curve.add(event)
        return curve

    def series(self, source: str, metric: str = "loss") -> tuple[list[int], list[float]]:
        """Steps and values of one metric."""
        points = self.evaluation if source == "evaluation" else self.training
        found = [(point.step, point.values[metric]) for point in points if metric in point.values]
        return [step for step, _ in found], [value for _, value in found]

    def rows(self) -> list[dict[str, Any]]:
        """Every point as one flat row, in order of steps."""
        both = (("training", self.training), ("evaluation", self.evaluation))
        rows = [
            {"step": point.step, "source": source, **point.values}
            for source, points in both
            for point in points
        ]
        return sorted(rows, key=lambda row: (row["step"], row["source"] == "evaluation"))


def draw(curve: Curve, metric: str, path: Path, title: str) -> None:
    """Draw a curve into an SVG or PNG file. Raises FeatureUnavailableError without matplotlib."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an extra
    except ImportError:
        raise _missing("pictures", "plot") from None
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for source, style in (("training", "-"), ("evaluation", "o-")):
        steps, values = curve.series(source, metric)
        if steps:
            axes.plot(steps, values, style, label=source, markersize=4, linewidth=1.2)
    axes.set(xlabel="step", ylabel=metric, title=title)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def write_tensorboard(curve: Curve, folder: Path) -> None:
    """Write an event file for TensorBoard. Raises FeatureUnavailableError without it."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event  # noqa: PLC0415 - an extra
        from tensorboard.compat.proto.summary_pb2 import Summary  # noqa: PLC0415
        from tensorboard.summary.writer.event_file_writer import EventFileWriter  # noqa: PLC0415
    except ImportError:
        raise _missing("TensorBoard's files", "tensorboard") from None
    writer = EventFileWriter(str(folder))
    try:
        for source, point in _points(curve):
            summary = Summary(
                value=[
                    Summary.Value(tag=f"{name}/{source}", simple_value=value)
                    for name, value in point.values.items()
                ]
            )
            time = point.time.timestamp() if point.time else 0.0
            writer.add_event(Event(wall_time=time, step=point.step, summary=summary))
    finally:
        writer.close()


def plot(series: Sequence[tuple[str, list[int], list[float]]], width: int, height: int) -> str:
    """Draw (name, steps, values) as text, in braille dots."""
    import plotille  # noqa: PLC0415 - only who looks at a curve needs it

    figure = plotille.Figure()
    figure.width, figure.height = width, height
    figure.color_mode = "names"
    if any(steps for _, steps, _ in series):
        figure.set_x_limits(min_=0, max_=max(1, *(max(steps) for _, steps, _ in series if steps)))
    figure.x_label, figure.y_label = "step", series[0][0].partition(" ")[0]
    figure.register_label_formatter(float, _label)
    figure.register_label_formatter(int, _label)
    for (name, steps, values), colour in zip(series, ("cyan", "yellow", "magenta"), strict=False):
        figure.plot(steps, values, lc=colour, label=name)
    text: str = figure.show(legend=True)
    return text


def _label(value: float, chars: int, delta: float, left: bool = False) -> str:  # noqa: ARG001, FBT001, FBT002 - plotille's
    return f"{value:.4g}".rjust(chars)[:chars]


def _points(curve: Curve) -> Iterable[tuple[str, Point]]:
    yield from (("training", point) for point in curve.training)
    yield from (("evaluation", point) for point in curve.evaluation)


def _missing(what: str, extra: str) -> FeatureUnavailableError:
    return FeatureUnavailableError(
        f"{what} need an extra: pip install 'llmos[{extra}]'", code="UNIMPLEMENTED"
    )
