"""Errors as the daemon makes them."""

from typing import Any, NamedTuple

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2


class _Status(NamedTuple):
    code: Any
    details: str
    trailing_metadata: Any


class _AbortStatus(_Status, grpc.Status):
    pass


def make_status(code, message, reason="", *, metadata=None, violations=(), retry_after=None):
    """A google.rpc.Status as the daemon makes them."""
    details = []
    if reason:
        info = error_details_pb2.ErrorInfo(
            reason=reason, domain="llmos.dev", metadata=metadata or {}
        )
        details.append(info)
    if violations:
        bad = error_details_pb2.BadRequest()
        for field, description in violations:
            bad.field_violations.add(field=field, description=description)
        details.append(bad)
    if retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(int(retry_after * 1000))
        details.append(retry)
    packed = [any_pb2.Any() for _ in details]
    for target, detail in zip(packed, details, strict=True):
        target.Pack(detail)
    number = code_pb2.Code.Value(code)
    return status_pb2.Status(code=number, message=message, details=packed)


def abort(context, status):
    code = next(c for c in grpc.StatusCode if c.value[0] == status.code)
    trailing = (("grpc-status-details-bin", status.SerializeToString()),)
    context.abort_with_status(_AbortStatus(code, status.message, trailing))
