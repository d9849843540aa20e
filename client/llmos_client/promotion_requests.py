"""From keyword arguments to the protos about aliases."""

from collections.abc import Iterable
from datetime import timedelta

from llmos.v1 import model_service_pb2, promotion_pb2
from llmos_client.promotions import GateCondition, Probation
from llmos_client.requests import enum_value


def promote_request(
    name: str,
    *,
    alias: str = "",
    keep_alive: float | None = None,
    dtype: str | None = None,
    allow_restricted_license: bool = False,
    gate: Iterable[GateCondition] = (),
    probation: Probation | None = None,
    request_id: str = "",
) -> model_service_pb2.PromoteModelVersionRequest:
    """Build a PromoteModelVersionRequest; keep_alive in seconds, negative: never unload."""
    request = model_service_pb2.PromoteModelVersionRequest(
        name=name,
        alias=alias,
        allow_restricted_license=allow_restricted_license,
        gate=map(gate_condition, gate),
        request_id=request_id,
    )
    if keep_alive is not None:
        request.keep_alive.FromTimedelta(timedelta(seconds=keep_alive))
    if dtype is not None:
        request.dtype = enum_value(model_service_pb2.ComputeDtype, "COMPUTE_DTYPE_", dtype)
    if probation is not None:
        request.probation.CopyFrom(
            promotion_pb2.Probation(
                engine_losses=probation.engine_losses, failed_share=probation.failed_share
            )
        )
        if probation.seconds is not None:
            request.probation.duration.FromTimedelta(timedelta(seconds=probation.seconds))
    return request


def gate_condition(condition: GateCondition) -> promotion_pb2.GateCondition:
    """Build a GateCondition."""
    return promotion_pb2.GateCondition(
        suite=condition.suite,
        metric=condition.metric,
        at_least=condition.at_least,
        at_most=condition.at_most,
        max_regression=condition.max_regression,
    )
