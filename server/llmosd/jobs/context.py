"""What a durable job sees of the world: its folder, its events, and what is wanted of it."""

import signal
import time
from pathlib import Path
from types import FrameType
from typing import Literal

from llmosd.errors import OperationCancelled
from llmosd.ipc.turns import Turns
from llmosd.store.run_directory import CONTROL, Control, EventWriter, RunDirectory
from llmosd.store.run_events import JobEvent, ProgressEvent, WarningEvent

_REPORT_SECONDS = 0.5
# Beside answers a quarter of the time is the job's. A longer turn is seen in a stream, shorter
# ones would delay more of its tokens.
_TURN_SECONDS = 0.15
_REST_SECONDS = 0.45
_PIECE_SECONDS = 0.15
_NAP_SECONDS = 0.01

Wish = Literal["run", "save", "pause", "cancel", "stop"]


class JobInterrupted(Exception):
    """The job ends for now and will be started again: paused, or the daemon stops."""

    def __init__(self, wish: Wish) -> None:
        super().__init__(wish)
        self.wish = wish


class JobContext:
    """Given to a job; also its Progress."""

    def __init__(self, run: RunDirectory, writer: EventWriter) -> None:
        """`writer.lines` are the events of earlier runs of this job."""
        self.run = run
        self._writer = writer
        self._control = Control()
        self._read_at = (-1, -1)
        self._saves = run.control().saves
        self._terminated = False
        self._reported: tuple[ProgressEvent | None, float] = (None, 0.0)
        self._turns = Turns(run.path.parent.parent / "turns")
        self._turn_ends = 0.0

    @property
    def folder(self) -> Path:
        """The run directory."""
        return self.run.path

    @property
    def history(self) -> list[JobEvent]:
        """The events of earlier runs of this job."""
        return [line.event for line in self._writer.lines]

    def listen(self) -> None:
        """Take SIGTERM for "save and end"; Ctrl-C in the daemon's terminal is for the daemon."""
        signal.signal(signal.SIGTERM, self._terminate)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def stop(self) -> None:
        """Ask the job to save and end, to be gone on with later."""
        self._terminated = True

    def emit(self, event: JobEvent, *, durable: bool = False) -> None:
        """Say something; `durable`: on disk when this returns."""
        self._writer.write(event, durable=durable)

    def report(self, stage: str, completed: int = 0, total: int = 0, unit: str = "") -> None:
        """Say how far a stage is, at most twice a second, and nothing twice."""
        now = time.monotonic()
        event, ends = ProgressEvent(stage, completed, total, unit), total > 0 and completed >= total
        said, at = self._reported
        if said is not None and said.stage == stage and not ends and now - at < _REPORT_SECONDS:
            return
        if event != said:
            self._reported = (event, now)
            self.emit(event)

    def warn(self, message: str) -> None:
        """Tell a person something; the job goes on."""
        self.emit(WarningEvent(message))

    def wish(self) -> Wish:
        """What is wanted now; "save" is said once for every time it was asked."""
        if self._terminated:
            return "stop"
        control = self._current()
        if control.desired != "run":
            return control.desired
        if control.saves > self._saves:
            self._saves = control.saves
            return "save"
        return "run"

    def check_cancelled(self) -> None:
        """Raise OperationCancelled or JobInterrupted where the job should not go on."""
        wish = self.wish()
        if wish == "cancel":
            raise OperationCancelled("the operation was cancelled")
        if wish in ("pause", "stop"):
            raise JobInterrupted(wish)

    def give_way(self) -> None:
        """Between two pieces of work, as short as they can be: rest, where it is not our turn.

        While models answer, the job takes turns with them; see ipc.turns. Alone, it goes on.
        """
        if not self._current().give_way:
            if self._turn_ends:
                self._turns.release()
                self._turn_ends = 0.0
            return
        if time.monotonic() < self._turn_ends:
            return
        self._turns.release()
        until = time.monotonic() + _REST_SECONDS
        while time.monotonic() < until and self._current().give_way:
            if self._terminated or self._control.desired != "run":
                return
            time.sleep(_NAP_SECONDS)
        self._turn_ends = time.monotonic() + _TURN_SECONDS
        # Engines wait for the end of the piece of work that the turn ends in, within limits.
        self._turns.take(_TURN_SECONDS + _PIECE_SECONDS)

    def _current(self) -> Control:
        """The control file, read again when it was replaced."""
        try:
            status = (self.run.path / CONTROL).stat()
        except OSError:
            return self._control
        # Two changes may fall into one tick of the clock; but each is a new file.
        at = (status.st_ino, status.st_mtime_ns)
        if at != self._read_at:
            self._control, self._read_at = self.run.control(), at
        return self._control

    def _terminate(self, _number: int, _frame: FrameType | None) -> None:
        self.stop()
