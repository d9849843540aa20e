"""What comes back about evaluations."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from llmos_client.datasets import DatasetKind


class EvaluationTask(StrEnum):
    """What a model was asked."""

    UNSPECIFIED = "unspecified"
    SCORE = "score"
    ANSWER = "answer"
    CLASSIFY = "classify"
    REGRESS = "regress"
    CHOOSE = "choose"
    PREFER = "prefer"
    CHECK = "check"


@dataclass(frozen=True, slots=True)
class EvaluationMetric:
    """A figure, and its interval where it has one; compare only equal signatures."""

    name: str
    value: float
    low: float | None
    high: float | None
    signature: str


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """The figures of one part: of how many examples, and how many could not be answered."""

    name: str
    data: str
    data_digest: str
    task: EvaluationTask
    example_count: int
    failed_count: int
    metrics: tuple[EvaluationMetric, ...]

    def __getitem__(self, metric: str) -> float:
        """Get a figure's value by its name. Raises KeyError."""
        for each in self.metrics:
            if each.name == metric:
                return each.value
        raise KeyError(metric)


@dataclass(frozen=True, slots=True)
class EvaluationCost:
    """What an evaluation took; times in seconds."""

    seconds: float
    prompt_tokens: int
    completion_tokens: int
    tokens_per_second: float
    first_token_p50: float
    first_token_p95: float
    latency_p50: float
    latency_p95: float
    resident_bytes: int
    dtype: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How good a version is (or, where it is "", the answers in a dataset)."""

    name: str
    create_time: datetime | None
    model_version: str
    model_digest: str
    answers: str
    results: tuple[EvaluationResult, ...]
    cost: EvaluationCost | None

    @property
    def id(self) -> str:
        """The name without its collection."""
        return self.name.removeprefix("evaluations/")

    def __getitem__(self, result: str) -> EvaluationResult:
        """Get a part's figures by its name. Raises KeyError."""
        for each in self.results:
            if each.name == result:
                return each
        raise KeyError(result)


@dataclass(frozen=True, slots=True)
class EvaluationExample:
    """One example: what was asked, what was said, and how that was judged."""

    row: int
    input: Mapping[str, Any]
    output: Mapping[str, Any]
    metrics: Mapping[str, float]
    error: str


@dataclass(frozen=True, slots=True)
class EvaluationDifference:
    """First minus second on the examples both were judged on, with its interval.

    `p_value`: how often so large a difference comes by chance; `wins`: share of bootstrap sets in
    which the first is higher.
    """

    result: str
    metric: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    p_value: float
    wins: float
    example_count: int


@dataclass(frozen=True, slots=True)
class Suite:
    """Rows to evaluate by that come with the daemon."""

    id: str
    kind: DatasetKind
    row_count: int
    description: str
