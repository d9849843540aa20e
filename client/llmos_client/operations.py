"""Long-running work of the daemon, and what it says while it goes on."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from llmos_client.errors import LlmosError, OperationRunningError

R = TypeVar("R", covariant=True)  # noqa: PLC0105 - the one type variable; its use says what it is


class OperationState(StrEnum):
    """How far an operation is; jobs may be queued and paused before they run."""

    UNSPECIFIED = "unspecified"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    QUEUED = "queued"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class OperationProgress:
    """How far a stage is; `total` 0 means not known. `unit` as "bytes" or "tensors"."""

    stage: str
    completed: int = 0
    total: int = 0
    unit: str = ""


@dataclass(frozen=True, slots=True)
class StepMetrics:
    """Figures after a step: of "training", or of an "evaluation" on rows not trained on."""

    step: int
    source: str
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Sample:
    """What the network answers to a prompt after so many steps."""

    step: int
    prompt: str
    text: str


@dataclass(frozen=True, slots=True)
class Operation(Generic[R]):
    """Work that goes on in the daemon; `response` is there once it succeeded."""

    name: str
    kind: str
    target: str
    state: OperationState
    done: bool
    create_time: datetime | None
    end_time: datetime | None
    progress: OperationProgress | None
    sequence: int
    error: LlmosError | None
    response: R | None
    metrics: StepMetrics | None = None

    def result(self) -> R:
        """Return the response, or raise the error it ended in."""
        if self.error is not None:
            raise self.error
        if self.response is None:
            raise OperationRunningError(f"{self.name} has not ended", code="FAILED_PRECONDITION")
        return self.response


@dataclass(frozen=True, slots=True)
class OperationEvent:
    """One kept event of an operation; exactly one of the fields after `time` is there.

    `checkpoint` is the step it was made after, `warning` a text for people.
    """

    sequence: int
    time: datetime | None
    progress: OperationProgress | None = None
    done: Operation[object] | None = None
    phase: OperationState | None = None
    metrics: StepMetrics | None = None
    sample: Sample | None = None
    checkpoint: int | None = None
    warning: str | None = None
