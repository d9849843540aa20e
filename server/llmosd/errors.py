"""Every error a caller may see, as one exception tree; knows nothing of gRPC.

    LlmosError
    ├── MalformedMessage, InvalidField, ContextLengthExceeded, ChatTemplateFailed,
    │   InvalidModelFile, UnsafeFile                          the caller's input is wrong
    ├── PathNotAllowed                                        refused whatever the path holds
    ├── Unauthenticated, PermissionDenied                     who calls may not
    ├── InvalidDataset                                        rows that are not what they should be
    ├── ModelNotFound, DatasetNotFound, EvaluationNotFound,
    │   FeedbackNotFound, OperationNotFound, GenerationNotFound,
    │   TokenNotFound                                         no such thing
    ├── RequestIdReused                                       clash with what exists
    ├── ModelNotLoaded, ModelInUse, ModelLoadFailed, GenerationInProgress, OperationRunning
    ├── OperationInProgress, OperationInterrupted, OperationCancelled, OperationEnded
    ├── DatasetInUse
    ├── InvalidConfig                                         a source of the settings has faults
    ├── GateRefused, AliasConflict                            an alias may not move so
    ├── TrainingDiverged, MetricRegressed, JobLost             a job came to a bad end
    ├── QueueFull, InsufficientMemory, InsufficientDisk, LimitExceeded   a limit of ours
    ├── ContentRefused                                        not to be asked, or answered, here
    ├── DataCorrupt                                           stored or sent bytes are damaged
    ├── DeadlineUnattainable, StreamStalled                   too late, or sure to be
    ├── EngineLost, ServerDraining                            try again soon
    ├── FeatureUnavailable                                    not built in
    └── InternalError                                         a bug of ours

A class's `reason` is the name of a value of llmos.v1.ErrorReason; `rpc/status.py` gives each its
gRPC status, and a test holds the three together. Messages are for the caller: they name the field
and the fix, and never a path, a class or a prompt.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple


class FieldViolation(NamedTuple):
    """One field that breaks its rule: `field` is a path such as "sampling.top_p"."""

    field: str
    description: str
    rule: str = ""


class LlmosError(Exception):
    """An error with a reason for programs and a message for people.

    `metadata` are the numbers and names of the message, for programs; `retry_after` is in seconds.
    """

    reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        violations: Sequence[FieldViolation] = (),
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.violations = tuple(violations)
        self.metadata = dict(metadata or {})
        self.retry_after = retry_after


class MalformedMessage(LlmosError):
    """The bytes do not parse as the request type."""

    reason = "MALFORMED_MESSAGE"


class InvalidField(LlmosError):
    """One or more fields break their rules."""

    reason = "INVALID_FIELD"

    @classmethod
    def of(cls, field: str, description: str) -> "InvalidField":
        """Build the error for a single field."""
        return cls(f"{field}: {description}", violations=[FieldViolation(field, description)])


class ContextLengthExceeded(LlmosError):
    """Prompt and answer do not fit the model's context, or can never fit its cache."""

    reason = "CONTEXT_LENGTH_EXCEEDED"


class ChatTemplateFailed(LlmosError):
    """The chat template refuses the conversation, is broken, or takes too long."""

    reason = "CHAT_TEMPLATE_FAILED"


class InvalidModelFile(LlmosError):
    """The uploaded files are not a model that can be read safely."""

    reason = "INVALID_MODEL_FILE"


class InvalidDataset(LlmosError):
    """Rows of a dataset are not what its schema says; the violations name their lines."""

    reason = "INVALID_DATASET"


class UnsafeFile(LlmosError):
    """A file of the store is a link, a pipe, a device or a folder."""

    reason = "UNSAFE_FILE"


class PathNotAllowed(LlmosError):
    """A path or URL where a resource name belongs; said alike whether or not it exists."""

    reason = "PATH_NOT_ALLOWED"


class Unauthenticated(LlmosError):
    """Who calls did not say who it is, or not so that it can be believed."""

    reason = "UNAUTHENTICATED"


class PermissionDenied(LlmosError):
    """Who calls is known, and may not do this."""

    reason = "PERMISSION_DENIED"


class ModelNotFound(LlmosError):
    """No such model, version or alias."""

    reason = "MODEL_NOT_FOUND"


class DatasetNotFound(LlmosError):
    """No such dataset, or version of it."""

    reason = "DATASET_NOT_FOUND"


class EvaluationNotFound(LlmosError):
    """No such evaluation."""

    reason = "EVALUATION_NOT_FOUND"


class FeedbackNotFound(LlmosError):
    """No such feedback."""

    reason = "FEEDBACK_NOT_FOUND"


class OperationNotFound(LlmosError):
    """No such operation."""

    reason = "OPERATION_NOT_FOUND"


class GenerationNotFound(LlmosError):
    """No such generation."""

    reason = "GENERATION_NOT_FOUND"


class TokenNotFound(LlmosError):
    """No such token."""

    reason = "TOKEN_NOT_FOUND"


class RequestIdReused(LlmosError):
    """A request_id that came before with another payload."""

    reason = "REQUEST_ID_REUSED"


class ModelNotLoaded(LlmosError):
    """The model is installed but nobody asked to load it."""

    reason = "MODEL_NOT_LOADED"


class ModelInUse(LlmosError):
    """The model is loaded or busy, and the request did not say force."""

    reason = "MODEL_IN_USE"


class ModelLoadFailed(LlmosError):
    """The model's process could not be started."""

    reason = "MODEL_LOAD_FAILED"


class GenerationInProgress(LlmosError):
    """The turn before is still being answered."""

    reason = "GENERATION_IN_PROGRESS"


class OperationRunning(LlmosError):
    """The operation has not ended yet."""

    reason = "OPERATION_RUNNING"


class OperationInProgress(LlmosError):
    """Another operation works on the same resource."""

    reason = "OPERATION_IN_PROGRESS"


class OperationInterrupted(LlmosError):
    """The daemon stopped while the operation ran."""

    reason = "OPERATION_INTERRUPTED"


class OperationCancelled(LlmosError):
    """The operation was cancelled."""

    reason = "OPERATION_CANCELLED"


class OperationEnded(LlmosError):
    """The operation has ended, or is of a kind that cannot be paused."""

    reason = "OPERATION_ENDED"


class DatasetInUse(LlmosError):
    """A job that has not ended reads the dataset."""

    reason = "DATASET_IN_USE"


class TrainingDiverged(LlmosError):
    """Losses or gradients are not finite numbers, or the result is worse than guessing."""

    reason = "TRAINING_DIVERGED"


class MetricRegressed(LlmosError):
    """The result is worse than the caller allows, and was not kept."""

    reason = "METRIC_REGRESSED"


class JobLost(LlmosError):
    """The job's process ended again and again without getting any further."""

    reason = "JOB_LOST"


class GateRefused(LlmosError):
    """A check that a version has to pass before an alias moves to it failed."""

    reason = "GATE_REFUSED"

    @classmethod
    def of(cls, gate: str, message: str, **metadata: str) -> "GateRefused":
        """Build the error of one gate, which programs find by name in the metadata."""
        return cls(message, metadata={"gate": gate, **metadata})


class AliasConflict(LlmosError):
    """The alias points elsewhere than was thought, was never moved, or is guarded."""

    reason = "ALIAS_CONFLICT"


class QueueFull(LlmosError):
    """As many generations wait as may."""

    reason = "QUEUE_FULL"


class DeadlineUnattainable(LlmosError):
    """The call's deadline comes, or came, before the first token could."""

    reason = "DEADLINE_UNATTAINABLE"


class StreamStalled(LlmosError):
    """A sender sent next to nothing, or a reader took nothing, for too long."""

    reason = "STREAM_STALLED"


class InsufficientMemory(LlmosError):
    """The model does not fit, even after unloading what is idle."""

    reason = "INSUFFICIENT_MEMORY"


class InsufficientDisk(LlmosError):
    """The files do not fit on the disk of the state directory."""

    reason = "INSUFFICIENT_DISK"


class ContentRefused(LlmosError):
    """The daemon's content policy does not allow a prompt, or an answer."""

    reason = "CONTENT_REFUSED"


class InvalidConfig(LlmosError):
    """A source of the settings has faults; the violations name each, and nothing changed."""

    reason = "INVALID_CONFIG"


class LimitExceeded(LlmosError):
    """More of something than one call or stream may have."""

    reason = "LIMIT_EXCEEDED"


class DataCorrupt(LlmosError):
    """Content differs from its digest, or weights are not finite numbers."""

    reason = "DATA_CORRUPT"


class EngineLost(LlmosError):
    """The model's process ended or froze; it is being restarted."""

    reason = "ENGINE_LOST"


class ServerDraining(LlmosError):
    """The daemon is stopping."""

    reason = "SERVER_DRAINING"


class FeatureUnavailable(LlmosError):
    """Something this daemon, or this model, does not offer."""

    reason = "FEATURE_UNAVAILABLE"


class InternalError(LlmosError):
    """A bug of ours."""

    reason = "INTERNAL"


def by_reason() -> dict[str, type[LlmosError]]:
    """Every leaf of the tree under its reason."""
    return {cls.reason: cls for cls in LlmosError.__subclasses__()}
