"""What comes back about training."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmos_client.results import ModelVersion


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """The version that a job made; `metrics` of its last evaluation, `ended_by` what ended it."""

    version: "ModelVersion"
    steps: int
    metrics: Mapping[str, float]
    ended_by: str


@dataclass(frozen=True, slots=True)
class TrainingEstimate:
    """What a job would take; `seconds` is a guess."""

    parameter_count: int
    trainable_parameter_count: int
    memory_bytes: int
    disk_bytes: int
    steps: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint on the daemon's disk."""

    step: int
    create_time: datetime | None
    byte_size: int
