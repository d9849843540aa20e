"""SDK of the llmos daemon: `Client` and `AsyncClient`, with the same methods.

    with Client() as client, client.stream("smollm2", "Once upon a time") as events:
        for event in events: ...

Importing the package costs nothing; each name is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmos_client.access import AccessToken as AccessToken
    from llmos_client.access import NewToken as NewToken
    from llmos_client.administration import CheckResult as CheckResult
    from llmos_client.administration import LogLevel as LogLevel
    from llmos_client.administration import ServerCheck as ServerCheck
    from llmos_client.aio_client import AsyncClient as AsyncClient
    from llmos_client.aio_streams import AsyncConversation as AsyncConversation
    from llmos_client.aio_streams import AsyncEventStream as AsyncEventStream
    from llmos_client.aio_streams import AsyncGenerationStream as AsyncGenerationStream
    from llmos_client.backups import Backup as Backup
    from llmos_client.client import Client as Client
    from llmos_client.configs import ConfigReload as ConfigReload
    from llmos_client.configs import ConfigSetting as ConfigSetting
    from llmos_client.datasets import Dataset as Dataset
    from llmos_client.datasets import DatasetKind as DatasetKind
    from llmos_client.datasets import DatasetVersion as DatasetVersion
    from llmos_client.datasets import Example as Example
    from llmos_client.datasets import PreprocessReport as PreprocessReport
    from llmos_client.datasets import Recipe as Recipe
    from llmos_client.errors import AliasConflictError as AliasConflictError
    from llmos_client.errors import CallCancelledError as CallCancelledError
    from llmos_client.errors import ChatTemplateFailedError as ChatTemplateFailedError
    from llmos_client.errors import ContextLengthExceededError as ContextLengthExceededError
    from llmos_client.errors import DaemonUnreachable as DaemonUnreachable
    from llmos_client.errors import DataCorruptError as DataCorruptError
    from llmos_client.errors import DatasetInUseError as DatasetInUseError
    from llmos_client.errors import DatasetNotFoundError as DatasetNotFoundError
    from llmos_client.errors import DeadlineExceededError as DeadlineExceededError
    from llmos_client.errors import DeadlineUnattainableError as DeadlineUnattainableError
    from llmos_client.errors import EngineLostError as EngineLostError
    from llmos_client.errors import EvaluationNotFoundError as EvaluationNotFoundError
    from llmos_client.errors import FeatureUnavailableError as FeatureUnavailableError
    from llmos_client.errors import FeedbackNotFoundError as FeedbackNotFoundError
    from llmos_client.errors import FieldViolation as FieldViolation
    from llmos_client.errors import GateRefusedError as GateRefusedError
    from llmos_client.errors import GenerationInProgressError as GenerationInProgressError
    from llmos_client.errors import GenerationNotFoundError as GenerationNotFoundError
    from llmos_client.errors import InsufficientDiskError as InsufficientDiskError
    from llmos_client.errors import InsufficientMemoryError as InsufficientMemoryError
    from llmos_client.errors import InternalError as InternalError
    from llmos_client.errors import InvalidAddressError as InvalidAddressError
    from llmos_client.errors import InvalidConfigError as InvalidConfigError
    from llmos_client.errors import InvalidContextError as InvalidContextError
    from llmos_client.errors import InvalidCredentialsError as InvalidCredentialsError
    from llmos_client.errors import InvalidDatasetError as InvalidDatasetError
    from llmos_client.errors import InvalidFieldError as InvalidFieldError
    from llmos_client.errors import InvalidModelFileError as InvalidModelFileError
    from llmos_client.errors import JobLostError as JobLostError
    from llmos_client.errors import LimitExceededError as LimitExceededError
    from llmos_client.errors import LlmosError as LlmosError
    from llmos_client.errors import MalformedMessageError as MalformedMessageError
    from llmos_client.errors import MetricRegressedError as MetricRegressedError
    from llmos_client.errors import ModelInUseError as ModelInUseError
    from llmos_client.errors import ModelLoadFailedError as ModelLoadFailedError
    from llmos_client.errors import ModelNotFoundError as ModelNotFoundError
    from llmos_client.errors import ModelNotLoadedError as ModelNotLoadedError
    from llmos_client.errors import NotAuthorizedError as NotAuthorizedError
    from llmos_client.errors import OperationCancelledError as OperationCancelledError
    from llmos_client.errors import OperationEndedError as OperationEndedError
    from llmos_client.errors import OperationInProgressError as OperationInProgressError
    from llmos_client.errors import OperationInterruptedError as OperationInterruptedError
    from llmos_client.errors import OperationNotFoundError as OperationNotFoundError
    from llmos_client.errors import OperationRunningError as OperationRunningError
    from llmos_client.errors import PathNotAllowedError as PathNotAllowedError
    from llmos_client.errors import PermissionDeniedError as PermissionDeniedError
    from llmos_client.errors import QueueFullError as QueueFullError
    from llmos_client.errors import RequestIdReusedError as RequestIdReusedError
    from llmos_client.errors import ServerDrainingError as ServerDrainingError
    from llmos_client.errors import StreamStalledError as StreamStalledError
    from llmos_client.errors import TokenNotFoundError as TokenNotFoundError
    from llmos_client.errors import TrainingDivergedError as TrainingDivergedError
    from llmos_client.errors import UnauthenticatedError as UnauthenticatedError
    from llmos_client.errors import UnsafeFileError as UnsafeFileError
    from llmos_client.evaluations import Evaluation as Evaluation
    from llmos_client.evaluations import EvaluationCost as EvaluationCost
    from llmos_client.evaluations import EvaluationDifference as EvaluationDifference
    from llmos_client.evaluations import EvaluationExample as EvaluationExample
    from llmos_client.evaluations import EvaluationMetric as EvaluationMetric
    from llmos_client.evaluations import EvaluationResult as EvaluationResult
    from llmos_client.evaluations import EvaluationTask as EvaluationTask
    from llmos_client.evaluations import Suite as Suite
    from llmos_client.explanations import Ancestor as Ancestor
    from llmos_client.explanations import Explanation as Explanation
    from llmos_client.explanations import Integration as Integration
    from llmos_client.explanations import TokenAttribution as TokenAttribution
    from llmos_client.exports import Export as Export
    from llmos_client.exports import ExportedFile as ExportedFile
    from llmos_client.feedback import Feedback as Feedback
    from llmos_client.feedback import FeedbackKind as FeedbackKind
    from llmos_client.feedback import Forgotten as Forgotten
    from llmos_client.feedback import LearnResult as LearnResult
    from llmos_client.feedback import ModelRating as ModelRating
    from llmos_client.feedback import Ratings as Ratings
    from llmos_client.garbage import GarbageItem as GarbageItem
    from llmos_client.garbage import GarbageResult as GarbageResult
    from llmos_client.generations import Choice as Choice
    from llmos_client.generations import Completed as Completed
    from llmos_client.generations import ConverseEvent as ConverseEvent
    from llmos_client.generations import Delta as Delta
    from llmos_client.generations import EffectiveParameters as EffectiveParameters
    from llmos_client.generations import Failed as Failed
    from llmos_client.generations import Finished as Finished
    from llmos_client.generations import FinishReason as FinishReason
    from llmos_client.generations import Generation as Generation
    from llmos_client.generations import Rejected as Rejected
    from llmos_client.generations import Started as Started
    from llmos_client.generations import StreamEvent as StreamEvent
    from llmos_client.generations import Timings as Timings
    from llmos_client.generations import TokenAlternative as TokenAlternative
    from llmos_client.generations import TokenOutput as TokenOutput
    from llmos_client.generations import ToolCall as ToolCall
    from llmos_client.generations import Usage as Usage
    from llmos_client.latents import CompressedText as CompressedText
    from llmos_client.latents import Compression as Compression
    from llmos_client.latents import Interpolation as Interpolation
    from llmos_client.latents import LatentPoint as LatentPoint
    from llmos_client.latents import LatentTexts as LatentTexts
    from llmos_client.latents import Posterior as Posterior
    from llmos_client.loads import ClassLoad as ClassLoad
    from llmos_client.loads import Load as Load
    from llmos_client.loads import ModelLoad as ModelLoad
    from llmos_client.loads import TenantLoad as TenantLoad
    from llmos_client.operations import Operation as Operation
    from llmos_client.operations import OperationEvent as OperationEvent
    from llmos_client.operations import OperationProgress as OperationProgress
    from llmos_client.operations import OperationState as OperationState
    from llmos_client.operations import Sample as Sample
    from llmos_client.operations import StepMetrics as StepMetrics
    from llmos_client.optimizations import OptimizationResult as OptimizationResult
    from llmos_client.optimizations import SweepResult as SweepResult
    from llmos_client.optimizations import SweepTrial as SweepTrial
    from llmos_client.options import EvaluateOptions as EvaluateOptions
    from llmos_client.options import EvaluationPart as EvaluationPart
    from llmos_client.options import FeedbackOptions as FeedbackOptions
    from llmos_client.options import GenerateOptions as GenerateOptions
    from llmos_client.options import LearnOptions as LearnOptions
    from llmos_client.options import Message as Message
    from llmos_client.options import MessageLike as MessageLike
    from llmos_client.options import OptimizeOptions as OptimizeOptions
    from llmos_client.options import SamplingOptions as SamplingOptions
    from llmos_client.options import TrainOptions as TrainOptions
    from llmos_client.promotions import GateCondition as GateCondition
    from llmos_client.promotions import Probation as Probation
    from llmos_client.promotions import Promotion as Promotion
    from llmos_client.promotions import PromotionCause as PromotionCause
    from llmos_client.promotions import PromotionResult as PromotionResult
    from llmos_client.promotions import PromotionState as PromotionState
    from llmos_client.results import CancelOutcome as CancelOutcome
    from llmos_client.results import Health as Health
    from llmos_client.results import LoadResult as LoadResult
    from llmos_client.results import Model as Model
    from llmos_client.results import ModelVersion as ModelVersion
    from llmos_client.results import RenderedChat as RenderedChat
    from llmos_client.results import Residency as Residency
    from llmos_client.results import ResidencyState as ResidencyState
    from llmos_client.results import ServerInfo as ServerInfo
    from llmos_client.results import ServerLimits as ServerLimits
    from llmos_client.results import TensorInfo as TensorInfo
    from llmos_client.results import Token as Token
    from llmos_client.results import TokenCount as TokenCount
    from llmos_client.results import UnloadResult as UnloadResult
    from llmos_client.scores import ChoiceScore as ChoiceScore
    from llmos_client.scores import ChoiceScores as ChoiceScores
    from llmos_client.scores import Classification as Classification
    from llmos_client.scores import Embedding as Embedding
    from llmos_client.scores import Embeddings as Embeddings
    from llmos_client.scores import LabelScore as LabelScore
    from llmos_client.scores import Neighbour as Neighbour
    from llmos_client.scores import Score as Score
    from llmos_client.streams import Conversation as Conversation
    from llmos_client.streams import EventStream as EventStream
    from llmos_client.streams import GenerationStream as GenerationStream
    from llmos_client.tracing import trace_context as trace_context
    from llmos_client.training import Checkpoint as Checkpoint
    from llmos_client.training import TrainingEstimate as TrainingEstimate
    from llmos_client.training import TrainingResult as TrainingResult
    from llmos_client.upload import LocalFile as LocalFile
    from llmos_client.upload import OnProgress as OnProgress

# Where each name lives that is not in one of the modules of plain types below.
_HOMES = {
    "AsyncClient": "aio_client",
    "AsyncConversation": "aio_streams",
    "AsyncEventStream": "aio_streams",
    "AsyncGenerationStream": "aio_streams",
    "Backup": "backups",
    "Client": "client",
    "Conversation": "streams",
    "EvaluateOptions": "options",
    "EvaluationPart": "options",
    "EventStream": "streams",
    "FeedbackOptions": "options",
    "GenerateOptions": "options",
    "GenerationStream": "streams",
    "LearnOptions": "options",
    "LocalFile": "upload",
    "Message": "options",
    "MessageLike": "options",
    "OnProgress": "upload",
    "OptimizeOptions": "options",
    "SamplingOptions": "options",
    "TrainOptions": "options",
    "trace_context": "tracing",
}
_PLAIN = (
    "access", "administration", "configs", "datasets", "errors", "evaluations", "explanations",
    "exports", "feedback", "garbage", "generations", "latents", "loads", "operations",
    "optimizations", "promotions",
    "results", "scores", "training",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    homes = (_HOMES[name],) if name in _HOMES else _PLAIN
    for home in () if name.startswith("_") else homes:
        module = import_module(f"{__name__}.{home}")
        if hasattr(module, name):
            return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
