"""Aliases that move: promotions, what they have to pass, and how they are watched."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from llmos_client import results


class PromotionCause(StrEnum):
    """What moved an alias."""

    UNSPECIFIED = "unspecified"
    PROMOTED = "promoted"
    SET = "set"
    PUBLISHED = "published"


class PromotionState(StrEnum):
    """Whether a move still holds."""

    UNSPECIFIED = "unspecified"
    PROBATION = "probation"
    STANDING = "standing"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True)
class Promotion:
    """A move of an alias from `previous` ("": it was new) to `version`, both resource names."""

    model: str
    alias: str
    version: str
    previous: str
    create_time: datetime | None
    cause: PromotionCause
    state: PromotionState
    operation: str
    probation_end_time: datetime | None
    rollback_time: datetime | None
    rollback_reason: str
    automatic: bool


@dataclass(frozen=True, slots=True)
class PromotionResult:
    """The move, None where the alias pointed there already; and the version it points at now."""

    promotion: Promotion | None
    version: "results.ModelVersion"


@dataclass(frozen=True, slots=True)
class Probation:
    """How a promoted version is watched: for `seconds`, 0 not at all; None: the daemon's default.

    The alias goes back when the process is lost more than `engine_losses` times, or when of at
    least 20 requests more than the `failed_share` fail by the version's fault.
    """

    seconds: float | None = None
    engine_losses: int | None = None
    failed_share: float | None = None


@dataclass(frozen=True, slots=True)
class GateCondition:
    """What an evaluation must have shown before an alias moves."""

    suite: str
    metric: str
    at_least: float | None = None
    at_most: float | None = None
    max_regression: float | None = None
