"""Every error of the daemon as an exception, and the few that only a client can meet.

    LlmosError
    ├── one subclass per value of llmos.v1.ErrorReason (`reason` says which)
    └── without a reason: DaemonUnreachable, DeadlineExceededError, CallCancelledError,
        NotAuthorizedError (UnauthenticatedError and PermissionDeniedError have a reason, too),
        InvalidAddressError, InvalidCredentialsError

`code` is the name of the gRPC status, `request_id` what the daemon's log has the call under.
Importing this module costs nothing: `rpc_errors` has what needs gRPC.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple


class FieldViolation(NamedTuple):
    """One field that breaks its rule: `field` is a path such as "sampling.top_p"."""

    field: str
    description: str
    rule: str = ""


class LlmosError(Exception):
    """A call that failed; `retry_after` is in seconds, where the daemon said when to come back."""

    reason: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        code: str = "UNKNOWN",
        violations: Sequence[FieldViolation] = (),
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.violations = tuple(violations)
        self.metadata = dict(metadata or {})
        self.retry_after = retry_after
        self.request_id = request_id

    @property
    def label(self) -> str:
        """Code and reason as people read them: "NOT_FOUND/MODEL_NOT_FOUND"."""
        return f"{self.code}/{self.reason}" if self.reason else self.code


class MalformedMessageError(LlmosError):
    """The bytes do not parse as the request type."""

    reason = "MALFORMED_MESSAGE"


class InvalidFieldError(LlmosError):
    """One or more fields break their rules; `violations` names them."""

    reason = "INVALID_FIELD"


class ContextLengthExceededError(LlmosError):
    """Prompt and answer do not fit the model's context."""

    reason = "CONTEXT_LENGTH_EXCEEDED"


class ChatTemplateFailedError(LlmosError):
    """The model's chat template cannot render this conversation."""

    reason = "CHAT_TEMPLATE_FAILED"


class InvalidModelFileError(LlmosError):
    """The uploaded files are not a model this daemon can read."""

    reason = "INVALID_MODEL_FILE"


class UnsafeFileError(LlmosError):
    """A link, a pipe, a device or a folder where a plain file belongs."""

    reason = "UNSAFE_FILE"


class PathNotAllowedError(LlmosError):
    """A path or URL where a resource name belongs."""

    reason = "PATH_NOT_ALLOWED"


class ModelNotFoundError(LlmosError):
    """No such model, version or alias."""

    reason = "MODEL_NOT_FOUND"


class DatasetNotFoundError(LlmosError):
    """No such dataset, or version of it."""

    reason = "DATASET_NOT_FOUND"


class EvaluationNotFoundError(LlmosError):
    """No such evaluation."""

    reason = "EVALUATION_NOT_FOUND"


class FeedbackNotFoundError(LlmosError):
    """No such feedback."""

    reason = "FEEDBACK_NOT_FOUND"


class InvalidDatasetError(LlmosError):
    """Rows of the dataset are not what they should be; `violations` name their lines."""

    reason = "INVALID_DATASET"


class OperationNotFoundError(LlmosError):
    """No such operation."""

    reason = "OPERATION_NOT_FOUND"


class GenerationNotFoundError(LlmosError):
    """No such generation."""

    reason = "GENERATION_NOT_FOUND"


class TokenNotFoundError(LlmosError):
    """No such token."""

    reason = "TOKEN_NOT_FOUND"


class RequestIdReusedError(LlmosError):
    """A request_id that came before with another payload."""

    reason = "REQUEST_ID_REUSED"


class ModelNotLoadedError(LlmosError):
    """The model is installed but not loaded."""

    reason = "MODEL_NOT_LOADED"


class ModelInUseError(LlmosError):
    """The model is loaded or busy, and the request did not say force."""

    reason = "MODEL_IN_USE"


class ModelLoadFailedError(LlmosError):
    """The model's process could not be started; the message says why."""

    reason = "MODEL_LOAD_FAILED"


class GenerationInProgressError(LlmosError):
    """The turn before is still being answered."""

    reason = "GENERATION_IN_PROGRESS"


class OperationRunningError(LlmosError):
    """The operation has not ended yet."""

    reason = "OPERATION_RUNNING"


class OperationInProgressError(LlmosError):
    """Another operation works on the same resource."""

    reason = "OPERATION_IN_PROGRESS"


class OperationInterruptedError(LlmosError):
    """The daemon stopped while the operation ran."""

    reason = "OPERATION_INTERRUPTED"


class OperationCancelledError(LlmosError):
    """The operation was cancelled."""

    reason = "OPERATION_CANCELLED"


class OperationEndedError(LlmosError):
    """The operation has ended, or is of a kind that cannot be paused."""

    reason = "OPERATION_ENDED"


class DatasetInUseError(LlmosError):
    """A job that has not ended reads the dataset."""

    reason = "DATASET_IN_USE"


class TrainingDivergedError(LlmosError):
    """Losses, gradients or weights were not finite; the last good checkpoint is kept."""

    reason = "TRAINING_DIVERGED"


class MetricRegressedError(LlmosError):
    """The result is worse than was allowed, and was not kept."""

    reason = "METRIC_REGRESSED"


class JobLostError(LlmosError):
    """The job's process ended again and again without getting any further."""

    reason = "JOB_LOST"


class GateRefusedError(LlmosError):
    """The version failed a check; `metadata["gate"]` says which, and the alias has not moved."""

    reason = "GATE_REFUSED"


class AliasConflictError(LlmosError):
    """The alias points elsewhere than the request says, was never moved, or is guarded."""

    reason = "ALIAS_CONFLICT"


class QueueFullError(LlmosError):
    """As many generations wait as may."""

    reason = "QUEUE_FULL"


class DeadlineUnattainableError(LlmosError):
    """The answer would begin after the call's deadline; `metadata` has both, in seconds."""

    reason = "DEADLINE_UNATTAINABLE"


class StreamStalledError(LlmosError):
    """The stream stood still for too long: next to nothing was sent, or nothing was read."""

    reason = "STREAM_STALLED"


class InsufficientMemoryError(LlmosError):
    """The model does not fit; `metadata` has needed and available bytes."""

    reason = "INSUFFICIENT_MEMORY"


class InsufficientDiskError(LlmosError):
    """The files do not fit on the daemon's disk; `metadata` has needed and available bytes."""

    reason = "INSUFFICIENT_DISK"


class LimitExceededError(LlmosError):
    """More of something than one call may have."""

    reason = "LIMIT_EXCEEDED"


class ContentRefusedError(LlmosError):
    """The daemon's content policy does not allow the prompt; `metadata` has the rule."""

    reason = "CONTENT_REFUSED"


class InvalidConfigError(LlmosError):
    """A source of the daemon's settings has faults; `violations` name each, nothing changed."""

    reason = "INVALID_CONFIG"


class DataCorruptError(LlmosError):
    """Content differs from its digest, or weights are not finite numbers."""

    reason = "DATA_CORRUPT"


class EngineLostError(LlmosError):
    """The model's process ended or froze; it is being restarted."""

    reason = "ENGINE_LOST"


class ServerDrainingError(LlmosError):
    """The daemon is stopping."""

    reason = "SERVER_DRAINING"


class FeatureUnavailableError(LlmosError):
    """Something this daemon, or this model, does not offer."""

    reason = "FEATURE_UNAVAILABLE"


class InternalError(LlmosError):
    """A bug of the daemon's; its log has it under the request id."""

    reason = "INTERNAL"


class DaemonUnreachable(LlmosError):
    """Nobody answers at the address, or the connection broke; `address` says where."""

    address: str = ""


class DeadlineExceededError(LlmosError):
    """The call's own time limit passed."""


class CallCancelledError(LlmosError):
    """The call was cancelled."""


class NotAuthorizedError(LlmosError):
    """The daemon does not let this caller do this."""


class UnauthenticatedError(NotAuthorizedError):
    """The daemon does not know who calls: no token, or one that is not valid."""

    reason = "UNAUTHENTICATED"


class PermissionDeniedError(NotAuthorizedError):
    """Who calls may not do this; `metadata` has the role that is needed, and the caller's."""

    reason = "PERMISSION_DENIED"


class InvalidAddressError(LlmosError):
    """An address that is neither unix:PATH, HOST:PORT nor tls:HOST:PORT, or cannot be used so."""


class InvalidContextError(LlmosError):
    """A context that is not there, or contexts.toml cannot be read."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="INVALID_ARGUMENT")


class InvalidCredentialsError(LlmosError):
    """A token or certificate that cannot be used, or not there."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="INVALID_ARGUMENT")


def by_reason() -> dict[str, type[LlmosError]]:
    """Return every class that stands for a reason of the daemon, under that reason."""
    found: list[type[LlmosError]] = list(LlmosError.__subclasses__())
    for cls in found:
        found += cls.__subclasses__()
    return {cls.reason: cls for cls in found if cls.reason}
