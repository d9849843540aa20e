"""From what gRPC raises to the exceptions of `errors`."""

from collections.abc import Iterable
from typing import Any

import grpc
from google.rpc import code_pb2, error_details_pb2, status_pb2

from llmos_client.errors import (
    CallCancelledError,
    DaemonUnreachable,
    DataCorruptError,
    DeadlineExceededError,
    FeatureUnavailableError,
    FieldViolation,
    InternalError,
    InvalidFieldError,
    LimitExceededError,
    LlmosError,
    NotAuthorizedError,
    by_reason,
)

_DETAILS_KEY = "grpc-status-details-bin"

# What a status means when nobody attached an ErrorInfo: gRPC itself, a proxy, or another server.
_BY_CODE: dict[str, type[LlmosError]] = {
    "INVALID_ARGUMENT": InvalidFieldError,
    "UNAVAILABLE": DaemonUnreachable,
    "DEADLINE_EXCEEDED": DeadlineExceededError,
    "CANCELLED": CallCancelledError,
    "UNAUTHENTICATED": NotAuthorizedError,
    "PERMISSION_DENIED": NotAuthorizedError,
    "UNIMPLEMENTED": FeatureUnavailableError,
    "RESOURCE_EXHAUSTED": LimitExceededError,
    "DATA_LOSS": DataCorruptError,
    "INTERNAL": InternalError,
}


def from_rpc(error: grpc.RpcError, *, request_id: str, address: str) -> LlmosError:
    """Build the exception for a failed call, sync or aio."""
    status = _attached_status(error.trailing_metadata() or ())
    if status is None:
        status = status_pb2.Status(code=error.code().value[0], message=error.details() or "")
    result = from_status(status, request_id=request_id)
    if isinstance(result, DaemonUnreachable):
        result.address = address
    return result


def from_status(status: Any, *, request_id: str = "") -> LlmosError:
    """Build the exception for a google.rpc.Status."""
    details = _Details(status)
    code = _code_name(status.code)
    kind = by_reason().get(details.reason) or _BY_CODE.get(code, LlmosError)
    return kind(
        status.message or code,
        code=code,
        violations=details.violations,
        metadata=details.metadata,
        retry_after=details.retry_after,
        request_id=request_id,
    )


class _Details:
    """The well-known messages among a status's details; others are left alone."""

    def __init__(self, status: Any) -> None:
        self.reason = ""
        self.metadata: dict[str, str] = {}
        self.violations: list[FieldViolation] = []
        self.retry_after: float | None = None
        for packed in status.details:
            self._read(packed)

    def _read(self, packed: Any) -> None:
        info = error_details_pb2.ErrorInfo()
        bad_request = error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        if packed.Unpack(info):
            self.reason = info.reason
            self.metadata = dict(info.metadata)
        elif packed.Unpack(bad_request):
            self.violations = [
                FieldViolation(v.field, v.description, v.reason)
                for v in bad_request.field_violations
            ]
        elif packed.Unpack(retry):
            self.retry_after = retry.retry_delay.ToTimedelta().total_seconds()


def _attached_status(metadata: Iterable[tuple[str, Any]]) -> Any | None:
    for key, value in metadata:
        if key == _DETAILS_KEY:
            return status_pb2.Status.FromString(value)
    return None


def _code_name(number: int) -> str:
    try:
        return str(code_pb2.Code.Name(number))
    except ValueError:
        return "UNKNOWN"
