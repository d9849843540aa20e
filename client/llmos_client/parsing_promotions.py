"""From protos to what the SDK says about aliases that move."""

from typing import Any

from llmos.v1 import promotion_pb2
from llmos_client import parsing, promotions
from llmos_client.parsing_base import enum, moment

_BOUNDS = ("at_least", "at_most", "max_regression")


def promotion(proto: promotion_pb2.Promotion) -> promotions.Promotion:
    """Parse a Promotion."""
    message = promotion_pb2.Promotion
    return promotions.Promotion(
        model=proto.model,
        alias=proto.alias,
        version=proto.version,
        previous=proto.previous,
        create_time=moment(proto, "create_time"),
        cause=enum(promotions.PromotionCause, message.Cause, "CAUSE_", proto.cause),
        state=enum(promotions.PromotionState, message.State, "STATE_", proto.state),
        operation=proto.operation,
        probation_end_time=moment(proto, "probation_end_time"),
        rollback_time=moment(proto, "rollback_time"),
        rollback_reason=proto.rollback_reason,
        automatic=proto.automatic,
    )


def result(proto: Any) -> promotions.PromotionResult:
    """Parse a PromoteModelVersionResponse or a RollbackModelResponse."""
    moved = promotion(proto.promotion) if proto.HasField("promotion") else None
    return promotions.PromotionResult(moved, parsing.model_version(proto.version))


def conditions(proto: promotion_pb2.GatePolicy) -> tuple[promotions.GateCondition, ...]:
    """Parse a GatePolicy."""
    return tuple(
        promotions.GateCondition(
            each.suite,
            each.metric,
            **{name: getattr(each, name) for name in _BOUNDS if each.HasField(name)},
        )
        for each in proto.conditions
    )
