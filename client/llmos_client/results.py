"""What comes back about models, operations, tokens and the daemon itself."""

# ruff: noqa: PLC0414 - what comes back has one module, though it is written in three
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from llmos_client.errors import LlmosError
from llmos_client.operations import Operation as Operation
from llmos_client.operations import OperationEvent as OperationEvent
from llmos_client.operations import OperationProgress as OperationProgress
from llmos_client.operations import OperationState as OperationState
from llmos_client.operations import Sample as Sample
from llmos_client.operations import StepMetrics as StepMetrics
from llmos_client.scores import Classification as Classification
from llmos_client.scores import LabelScore as LabelScore
from llmos_client.scores import Score as Score
from llmos_client.training import Checkpoint as Checkpoint
from llmos_client.training import TrainingEstimate as TrainingEstimate
from llmos_client.training import TrainingResult as TrainingResult


class ResidencyState(StrEnum):
    """Where a version stands between disk and memory."""

    UNSPECIFIED = "unspecified"
    UNLOADED = "unloaded"
    LOADING = "loading"
    LOADED = "loaded"
    UNLOADING = "unloading"
    IDLE = "idle"
    RESTARTING = "restarting"
    FAILED = "failed"


class CancelOutcome(StrEnum):
    """What cancel_generation found."""

    UNSPECIFIED = "unspecified"
    CANCELLED = "cancelled"
    ALREADY_ENDED = "already_ended"


class Health(StrEnum):
    """The answers of grpc.health.v1; SERVICE_UNKNOWN: no such service or model."""

    UNKNOWN = "unknown"
    SERVING = "serving"
    NOT_SERVING = "not_serving"
    SERVICE_UNKNOWN = "service_unknown"


@dataclass(frozen=True, slots=True)
class Counters:
    """What a model's process has done so far."""

    steps: int
    preemptions: int
    prompt_tokens: int
    cached_prompt_tokens: int
    drafted_tokens: int
    accepted_tokens: int


@dataclass(frozen=True, slots=True)
class Residency:
    """The process that serves a version."""

    state: ResidencyState
    pid: int
    runner: str
    device: str
    dtype: str
    resident_bytes: int
    kv_blocks_total: int
    kv_blocks_used: int
    running: int
    waiting: int
    last_use_time: datetime | None
    expire_time: datetime | None
    restarts: int
    failure: LlmosError | None
    counters: Counters
    host: str = ""
    """Of an adapter in the process of its base: the base's version."""


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One immutable version of a model."""

    name: str
    create_time: datetime | None
    architecture: str
    parameter_count: int
    context_length: int
    vocabulary_size: int
    dtype: str
    byte_size: int
    digest: str
    license: str
    source: str
    chat: bool
    residency: Residency
    notes: tuple[str, ...] = ()

    @property
    def model(self) -> str:
        """The model's ID: "smollm2" of "models/smollm2/versions/1"."""
        return self.name.removeprefix("models/").partition("/")[0]

    @property
    def number(self) -> int:
        """The version's number."""
        return int(self.name.rpartition("/")[2] or 0)


@dataclass(frozen=True, slots=True)
class Model:
    """A named model; `live` is the version that its bare name means."""

    name: str
    create_time: datetime | None
    aliases: Mapping[str, str]
    live: ModelVersion | None
    version_count: int

    @property
    def id(self) -> str:
        """The name without "models/"."""
        return self.name.removeprefix("models/")


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What loading took: resident bytes are the daemon's and all its processes'."""

    version: ModelVersion
    estimated_bytes: int
    resident_bytes_before: int
    resident_bytes_loaded: int


@dataclass(frozen=True, slots=True)
class UnloadResult:
    """Resident bytes before the model was loaded, before it was unloaded, and now."""

    resident_bytes_before: int
    resident_bytes_loaded: int
    resident_bytes_after: int


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A weight of a version: its name, shape and type."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Token:
    """A token of a text; `special` ones stand for no text."""

    id: int
    bytes: bytes
    special: bool


@dataclass(frozen=True, slots=True)
class TokenCount:
    """How many tokens a prompt has, and what the model's context holds."""

    tokens: int
    context_length: int


@dataclass(frozen=True, slots=True)
class RenderedChat:
    """A conversation through the model's chat template."""

    text: str
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What the daemon refuses beyond."""

    max_message_bytes: int
    max_streams_per_connection: int
    max_queue: int
    max_choices: int
    max_logprobs: int


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """The daemon and its machine; `uptime` in seconds."""

    version: str
    uptime: float
    pid: int
    api_versions: tuple[str, ...]
    limits: ServerLimits
    cpu_count: int
    memory_total_bytes: int
    memory_available_bytes: int
    resident_bytes: int
    generations: int
    models_loaded: int
    architectures: tuple[str, ...]
