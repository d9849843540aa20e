"""What a durable job says about itself: the lines of events.jsonl in its run directory.

Append-only, one JSON object per line. The last line of a job that has ended is a `JobEnd`; a file
without one belongs to a job that runs, waits, or has to be started again.
"""

from datetime import datetime
from typing import Literal

import msgspec

from llmosd.ipc import Failure

Outcome = Literal["succeeded", "failed", "cancelled"]


class ProgressEvent(msgspec.Struct, frozen=True, tag="progress"):
    """How far a stage is; `total` 0 means not known. See progress.Progress."""

    stage: str
    completed: int = 0
    total: int = 0
    unit: str = ""


class PhaseEvent(msgspec.Struct, frozen=True, tag="phase"):
    """The job waits, runs, or was paused; `reason` says why, where it is not plain."""

    phase: Literal["QUEUED", "RUNNING", "PAUSED"]
    reason: str = ""


class MetricEvent(msgspec.Struct, frozen=True, tag="metric"):
    """Figures of a step: of the training itself, or of an evaluation."""

    step: int
    source: Literal["training", "evaluation"]
    values: dict[str, float]


class SampleEvent(msgspec.Struct, frozen=True, tag="sample"):
    """What the network answers to a prompt after so many steps."""

    step: int
    prompt: str
    text: str


class CheckpointEvent(msgspec.Struct, frozen=True, tag="checkpoint"):
    """A checkpoint is on disk, whole."""

    step: int
    best: bool = False


class WarningEvent(msgspec.Struct, frozen=True, tag="warning"):
    """Something a person should know; the job goes on."""

    message: str


class JobEnd(msgspec.Struct, frozen=True, tag="end"):
    """The outcome: `result` is the job's own JSON, `failure` why there is none."""

    outcome: Outcome
    result: msgspec.Raw = msgspec.Raw(b"null")
    failure: Failure | None = None


JobEvent = (
    ProgressEvent | PhaseEvent | MetricEvent | SampleEvent | CheckpointEvent | WarningEvent | JobEnd
)


class EventLine(msgspec.Struct, frozen=True):
    """One line: sequence numbers are 1, 2, 3… without a gap."""

    sequence: int
    time: datetime
    event: JobEvent
