"""How far long work is: a bar where a person watches, a line per stage where nobody does."""

import sys
from types import TracebackType
from typing import Any, Self

from llmos_client.cli.output import human_bytes, note
from llmos_client.results import OperationProgress


def open_progress(*, quiet: bool = False, transient: bool = False) -> "Progress":
    """Choose how to show progress on stderr; `quiet` wherever it is not a terminal.

    `transient` bars are gone when the work is done.
    """
    if sys.stderr.isatty():
        return BarProgress(transient=transient)
    return Progress() if quiet else LineProgress()


class Progress:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def __call__(self, progress: OperationProgress) -> None:
        """Take how far a stage is."""

    def note(self, text: str) -> None:
        """Show a line."""


class LineProgress(Progress):
    """One plain line when a stage begins: nothing that spoils a file or a journal."""

    def __init__(self) -> None:
        self._stage = ""

    def __call__(self, progress: OperationProgress) -> None:
        """Print the stage if it is a new one."""
        if progress.stage != self._stage:
            self._stage = progress.stage
            note(f"{progress.stage} {_amount(progress)}".rstrip())

    def note(self, text: str) -> None:
        """Print the line."""
        note(text)


class BarProgress(Progress):
    """A bar per stage, on a terminal."""

    def __init__(self, *, transient: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        self._bars = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[amount]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=transient,
        )
        self._tasks: dict[str, Any] = {}
        self._current = ""

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self._fill(self._current)
        self._bars.stop()

    def __call__(self, progress: OperationProgress) -> None:
        """Move the stage's bar."""
        if progress.stage != self._current:
            self._fill(self._current)
            self._current = progress.stage
        if progress.stage not in self._tasks:
            self._tasks[progress.stage] = self._bars.add_task(progress.stage, amount="")
        self._bars.update(
            self._tasks[progress.stage],
            total=progress.total or None,
            completed=progress.completed,
            amount=_amount(progress),
        )

    def note(self, text: str) -> None:
        """Print the line above the bars."""
        self._bars.console.print(text, markup=False, highlight=False)

    def _fill(self, stage: str) -> None:
        # A stage of unknown length is over when the next one begins.
        if stage in self._tasks:
            self._bars.update(self._tasks[stage], total=1, completed=1)
            self._bars.stop_task(self._tasks[stage])


def _amount(progress: OperationProgress) -> str:
    if progress.unit == "bytes":
        return human_bytes(progress.total or progress.completed)
    if progress.total:
        return f"{progress.total} {progress.unit}".rstrip()
    return ""
