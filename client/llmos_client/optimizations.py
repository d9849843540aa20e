"""What comes back about optimizing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmos_client.evaluations import Evaluation
    from llmos_client.results import ModelVersion


@dataclass(frozen=True, slots=True)
class OptimizationResult:
    """The version that was made of `source`, and what both are worth, where they were judged.

    `report` are figures of what was done to the weights.
    """

    version: "ModelVersion"
    source: "ModelVersion"
    before: "Evaluation | None"
    after: "Evaluation | None"
    report: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class SweepTrial:
    """One training of a sweep: its settings, and the metric; None and `error` where it failed."""

    settings: Mapping[str, str]
    value: float | None
    metrics: Mapping[str, float]
    operation: str
    error: str
    version: str


@dataclass(frozen=True, slots=True)
class SweepResult:
    """The best trial's version, and all trials; `best` is its position."""

    version: "ModelVersion"
    trials: tuple[SweepTrial, ...]
    best: int
