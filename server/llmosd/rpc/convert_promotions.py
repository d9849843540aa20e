"""Promotions, probations and gate conditions: messages to structs and back."""

from collections.abc import Iterable

from llmos.v1 import promotion_pb2 as pb
from llmosd.errors import InvalidField
from llmosd.rpc import convert
from llmosd.store.aliases import Condition, PromotionRecord, Watching
from llmosd.store.names import model_name, version_name
from llmosd.store.records import now


def promotion(record: PromotionRecord) -> pb.Promotion:
    """A move of an alias."""
    if record.rollback_time is not None:
        state = pb.Promotion.STATE_ROLLED_BACK
    elif record.probation_end is not None and now() < record.probation_end:
        state = pb.Promotion.STATE_PROBATION
    else:
        state = pb.Promotion.STATE_STANDING
    return pb.Promotion(
        model=model_name(record.model_id),
        alias=record.alias,
        version=version_name(record.model_id, record.version),
        previous="" if record.previous is None else version_name(record.model_id, record.previous),
        create_time=convert.timestamp(record.create_time),
        cause=f"CAUSE_{record.cause}",
        state=state,
        operation=f"operations/{record.operation_id}" if record.operation_id else "",
        probation_end_time=convert.timestamp(record.probation_end),
        rollback_time=convert.timestamp(record.rollback_time),
        rollback_reason=record.rollback_reason,
        automatic=record.automatic,
    )


def watching(message: pb.Probation) -> Watching | None:
    """How a promotion is to be watched; None: not at all. Raises InvalidField."""
    limits = Watching()
    if message.HasField("duration"):
        seconds = convert.seconds("probation.duration", message.duration)
        if seconds < 0:
            raise InvalidField.of("probation.duration", "must not be negative; 0 watches nothing")
        limits = Watching(seconds=seconds)
    return (
        None
        if limits.seconds == 0
        else Watching(
            limits.seconds,
            message.engine_losses if message.HasField("engine_losses") else limits.losses,
            message.failed_share if message.HasField("failed_share") else limits.share,
        )
    )


def conditions(field: str, messages: Iterable[pb.GateCondition]) -> list[Condition]:
    """What must hold; raises InvalidField for a condition that says nothing."""
    found = []
    for at, message in enumerate(messages):
        bounds = {
            name: getattr(message, name)
            for name in ("at_least", "at_most", "max_regression")
            if message.HasField(name)
        }
        if not bounds:
            raise InvalidField.of(
                f"{field}[{at}]", "sets none of at_least, at_most and max_regression"
            )
        found.append(Condition(message.suite, message.metric, **bounds))
    return found


def condition(each: Condition) -> pb.GateCondition:
    """One condition."""
    message = pb.GateCondition(suite=each.suite, metric=each.metric)
    for name in ("at_least", "at_most", "max_regression"):
        if getattr(each, name) is not None:
            setattr(message, name, getattr(each, name))
    return message
