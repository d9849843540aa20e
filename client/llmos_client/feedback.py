"""What comes back about feedback."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmos_client.datasets import DatasetVersion
    from llmos_client.evaluations import Evaluation
    from llmos_client.results import ModelVersion


class FeedbackKind(StrEnum):
    """What somebody said: of an answer, or of two."""

    UNSPECIFIED = "unspecified"
    UP = "up"
    DOWN = "down"
    EDIT = "edit"
    BETTER = "better"
    TIE = "tie"
    WORSE = "worse"


@dataclass(frozen=True, slots=True)
class Feedback:
    """A verdict; texts are "" where nobody consented to their being kept."""

    name: str
    create_time: datetime | None
    generation: str
    model_version: str
    model_digest: str
    kind: FeedbackKind
    other_model_version: str
    prompt_json: str
    answer: str
    other_answer: str
    edit: str
    comment: str
    consent: bool
    tenant: str
    subject: str


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What went with deleted feedback; `marked_versions` were trained on it, and say so."""

    deleted_count: int
    removed_datasets: Sequence[str]
    marked_versions: Sequence[str]


@dataclass(frozen=True, slots=True)
class ModelRating:
    """How a version stands in people's comparisons, on Elo's scale, with a 95 % interval."""

    version: str
    rating: float
    low: float
    high: float
    wins: float
    comparison_count: int


@dataclass(frozen=True, slots=True)
class Ratings:
    """The best first; `agreement` is Krippendorff's alpha, None where nobody compared the same."""

    ratings: Sequence[ModelRating]
    comparison_count: int
    agreement: float | None


@dataclass(frozen=True, slots=True)
class LearnResult:
    """What came of learning; `outcome` says in words why it ended so."""

    version: "ModelVersion | None"
    dataset: "DatasetVersion | None"
    before: "Evaluation | None"
    after: "Evaluation | None"
    promoted: bool
    outcome: str
