"""Errors to gRPC: one table, one place of translation, for calls and for streams' items."""

from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from llmosd import errors
from llmosd.errors import LlmosError

DOMAIN = "llmos.dev"
# Trailing metadata is limited by the peer; what does not fit helps nobody.
_MOST_VIOLATIONS = 16
_LONGEST_TEXT = 512

CODES: dict[type[LlmosError], StatusCode] = {
    errors.MalformedMessage: StatusCode.INVALID_ARGUMENT,
    errors.InvalidField: StatusCode.INVALID_ARGUMENT,
    errors.ContextLengthExceeded: StatusCode.INVALID_ARGUMENT,
    errors.ChatTemplateFailed: StatusCode.INVALID_ARGUMENT,
    errors.InvalidModelFile: StatusCode.INVALID_ARGUMENT,
    errors.InvalidDataset: StatusCode.INVALID_ARGUMENT,
    errors.UnsafeFile: StatusCode.INVALID_ARGUMENT,
    errors.PathNotAllowed: StatusCode.PERMISSION_DENIED,
    errors.Unauthenticated: StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: StatusCode.PERMISSION_DENIED,
    errors.ContentRefused: StatusCode.PERMISSION_DENIED,
    errors.ModelNotFound: StatusCode.NOT_FOUND,
    errors.DatasetNotFound: StatusCode.NOT_FOUND,
    errors.EvaluationNotFound: StatusCode.NOT_FOUND,
    errors.FeedbackNotFound: StatusCode.NOT_FOUND,
    errors.OperationNotFound: StatusCode.NOT_FOUND,
    errors.GenerationNotFound: StatusCode.NOT_FOUND,
    errors.TokenNotFound: StatusCode.NOT_FOUND,
    errors.RequestIdReused: StatusCode.ALREADY_EXISTS,
    errors.ModelNotLoaded: StatusCode.FAILED_PRECONDITION,
    errors.ModelInUse: StatusCode.FAILED_PRECONDITION,
    errors.ModelLoadFailed: StatusCode.FAILED_PRECONDITION,
    errors.GenerationInProgress: StatusCode.FAILED_PRECONDITION,
    errors.OperationRunning: StatusCode.FAILED_PRECONDITION,
    errors.OperationInProgress: StatusCode.ABORTED,
    errors.OperationInterrupted: StatusCode.ABORTED,
    errors.OperationCancelled: StatusCode.CANCELLED,
    errors.OperationEnded: StatusCode.FAILED_PRECONDITION,
    errors.DatasetInUse: StatusCode.FAILED_PRECONDITION,
    errors.GateRefused: StatusCode.FAILED_PRECONDITION,
    errors.AliasConflict: StatusCode.FAILED_PRECONDITION,
    errors.TrainingDiverged: StatusCode.ABORTED,
    errors.MetricRegressed: StatusCode.FAILED_PRECONDITION,
    errors.JobLost: StatusCode.ABORTED,
    errors.QueueFull: StatusCode.RESOURCE_EXHAUSTED,
    errors.DeadlineUnattainable: StatusCode.DEADLINE_EXCEEDED,
    errors.StreamStalled: StatusCode.DEADLINE_EXCEEDED,
    errors.InsufficientMemory: StatusCode.RESOURCE_EXHAUSTED,
    errors.InsufficientDisk: StatusCode.RESOURCE_EXHAUSTED,
    errors.InvalidConfig: StatusCode.FAILED_PRECONDITION,
    errors.LimitExceeded: StatusCode.RESOURCE_EXHAUSTED,
    errors.DataCorrupt: StatusCode.DATA_LOSS,
    errors.EngineLost: StatusCode.UNAVAILABLE,
    errors.ServerDraining: StatusCode.UNAVAILABLE,
    errors.FeatureUnavailable: StatusCode.UNIMPLEMENTED,
    errors.InternalError: StatusCode.INTERNAL,
}


def code_of(error: LlmosError) -> StatusCode:
    """The gRPC status of an error."""
    return CODES[type(error)]


def to_status(error: LlmosError) -> status_pb2.Status:
    """google.rpc.Status with ErrorInfo, and BadRequest and RetryInfo where they apply."""
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)
    info.metadata.update({key: value[:_LONGEST_TEXT] for key, value in error.metadata.items()})
    details = [info]
    if error.violations:
        bad = error_details_pb2.BadRequest()
        for violation in error.violations[:_MOST_VIOLATIONS]:
            bad.field_violations.add(
                field=violation.field,
                description=violation.description[:_LONGEST_TEXT],
                reason=violation.rule,
            )
        details.append(bad)
    if error.retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(round(error.retry_after * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=code_of(error).value[0], message=error.message[:_LONGEST_TEXT])
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def trailers(error: LlmosError) -> tuple[tuple[str, str | bytes], ...]:
    """Trailing metadata of a failed call."""
    metadata: list[tuple[str, str | bytes]] = [
        ("grpc-status-details-bin", to_status(error).SerializeToString())
    ]
    if error.retry_after is not None:
        metadata.append(("grpc-retry-pushback-ms", str(round(error.retry_after * 1000))))
    return tuple(metadata)
