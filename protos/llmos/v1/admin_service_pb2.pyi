import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.longrunning import operations_pb2 as _operations_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from llmos.v1 import backup_pb2 as _backup_pb2
from llmos.v1 import config_pb2 as _config_pb2
from llmos.v1 import garbage_pb2 as _garbage_pb2
from llmos.v1 import priority_pb2 as _priority_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LogLevel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LOG_LEVEL_UNSPECIFIED: _ClassVar[LogLevel]
    LOG_LEVEL_DEBUG: _ClassVar[LogLevel]
    LOG_LEVEL_INFO: _ClassVar[LogLevel]
    LOG_LEVEL_WARNING: _ClassVar[LogLevel]
    LOG_LEVEL_ERROR: _ClassVar[LogLevel]
LOG_LEVEL_UNSPECIFIED: LogLevel
LOG_LEVEL_DEBUG: LogLevel
LOG_LEVEL_INFO: LogLevel
LOG_LEVEL_WARNING: LogLevel
LOG_LEVEL_ERROR: LogLevel

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ("version", "uptime", "pid", "api_versions", "limits", "cpu_count", "memory_total_bytes", "memory_available_bytes", "resident_bytes", "generations", "models_loaded", "architectures")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UPTIME_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    API_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    CPU_COUNT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_AVAILABLE_BYTES_FIELD_NUMBER: _ClassVar[int]
    RESIDENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    GENERATIONS_FIELD_NUMBER: _ClassVar[int]
    MODELS_LOADED_FIELD_NUMBER: _ClassVar[int]
    ARCHITECTURES_FIELD_NUMBER: _ClassVar[int]
    version: str
    uptime: _duration_pb2.Duration
    pid: int
    api_versions: _containers.RepeatedScalarFieldContainer[str]
    limits: ServerLimits
    cpu_count: int
    memory_total_bytes: int
    memory_available_bytes: int
    resident_bytes: int
    generations: int
    models_loaded: int
    architectures: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, version: _Optional[str] = ..., uptime: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., pid: _Optional[int] = ..., api_versions: _Optional[_Iterable[str]] = ..., limits: _Optional[_Union[ServerLimits, _Mapping]] = ..., cpu_count: _Optional[int] = ..., memory_total_bytes: _Optional[int] = ..., memory_available_bytes: _Optional[int] = ..., resident_bytes: _Optional[int] = ..., generations: _Optional[int] = ..., models_loaded: _Optional[int] = ..., architectures: _Optional[_Iterable[str]] = ...) -> None: ...

class ServerLimits(_message.Message):
    __slots__ = ("max_message_bytes", "max_streams_per_connection", "max_queue", "max_choices", "max_logprobs")
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_STREAMS_PER_CONNECTION_FIELD_NUMBER: _ClassVar[int]
    MAX_QUEUE_FIELD_NUMBER: _ClassVar[int]
    MAX_CHOICES_FIELD_NUMBER: _ClassVar[int]
    MAX_LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    max_message_bytes: int
    max_streams_per_connection: int
    max_queue: int
    max_choices: int
    max_logprobs: int
    def __init__(self, max_message_bytes: _Optional[int] = ..., max_streams_per_connection: _Optional[int] = ..., max_queue: _Optional[int] = ..., max_choices: _Optional[int] = ..., max_logprobs: _Optional[int] = ...) -> None: ...

class WatchLoadRequest(_message.Message):
    __slots__ = ("interval",)
    INTERVAL_FIELD_NUMBER: _ClassVar[int]
    interval: _duration_pb2.Duration
    def __init__(self, interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class WatchLoadResponse(_message.Message):
    __slots__ = ("time", "models", "resident_bytes", "memory_available_bytes", "memory_total_bytes", "jobs")
    TIME_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    RESIDENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_AVAILABLE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    models: _containers.RepeatedCompositeFieldContainer[ModelLoad]
    resident_bytes: int
    memory_available_bytes: int
    memory_total_bytes: int
    jobs: _containers.RepeatedCompositeFieldContainer[_operations_pb2.Operation]
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., models: _Optional[_Iterable[_Union[ModelLoad, _Mapping]]] = ..., resident_bytes: _Optional[int] = ..., memory_available_bytes: _Optional[int] = ..., memory_total_bytes: _Optional[int] = ..., jobs: _Optional[_Iterable[_Union[_operations_pb2.Operation, _Mapping]]] = ...) -> None: ...

class ModelLoad(_message.Message):
    __slots__ = ("model_version", "running", "waiting", "classes", "tenants", "kv_blocks_used", "kv_blocks_total", "rows_per_step", "prompt_tokens_per_second", "generated_tokens_per_second", "estimated_wait", "steps", "preemptions", "prompt_tokens", "cached_prompt_tokens", "generated_tokens", "drafted_tokens", "accepted_tokens", "late")
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    TENANTS_FIELD_NUMBER: _ClassVar[int]
    KV_BLOCKS_USED_FIELD_NUMBER: _ClassVar[int]
    KV_BLOCKS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    ROWS_PER_STEP_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    GENERATED_TOKENS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_WAIT_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    PREEMPTIONS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHED_PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    GENERATED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    DRAFTED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    model_version: str
    running: int
    waiting: int
    classes: _containers.RepeatedCompositeFieldContainer[ClassLoad]
    tenants: _containers.RepeatedCompositeFieldContainer[TenantLoad]
    kv_blocks_used: int
    kv_blocks_total: int
    rows_per_step: float
    prompt_tokens_per_second: float
    generated_tokens_per_second: float
    estimated_wait: _duration_pb2.Duration
    steps: int
    preemptions: int
    prompt_tokens: int
    cached_prompt_tokens: int
    generated_tokens: int
    drafted_tokens: int
    accepted_tokens: int
    late: int
    def __init__(self, model_version: _Optional[str] = ..., running: _Optional[int] = ..., waiting: _Optional[int] = ..., classes: _Optional[_Iterable[_Union[ClassLoad, _Mapping]]] = ..., tenants: _Optional[_Iterable[_Union[TenantLoad, _Mapping]]] = ..., kv_blocks_used: _Optional[int] = ..., kv_blocks_total: _Optional[int] = ..., rows_per_step: _Optional[float] = ..., prompt_tokens_per_second: _Optional[float] = ..., generated_tokens_per_second: _Optional[float] = ..., estimated_wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., steps: _Optional[int] = ..., preemptions: _Optional[int] = ..., prompt_tokens: _Optional[int] = ..., cached_prompt_tokens: _Optional[int] = ..., generated_tokens: _Optional[int] = ..., drafted_tokens: _Optional[int] = ..., accepted_tokens: _Optional[int] = ..., late: _Optional[int] = ...) -> None: ...

class ClassLoad(_message.Message):
    __slots__ = ("priority", "running", "waiting")
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    priority: _priority_pb2.Priority
    running: int
    waiting: int
    def __init__(self, priority: _Optional[_Union[_priority_pb2.Priority, str]] = ..., running: _Optional[int] = ..., waiting: _Optional[int] = ...) -> None: ...

class TenantLoad(_message.Message):
    __slots__ = ("tenant", "weight", "running", "waiting", "prompt_tokens", "generated_tokens")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    GENERATED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    weight: float
    running: int
    waiting: int
    prompt_tokens: int
    generated_tokens: int
    def __init__(self, tenant: _Optional[str] = ..., weight: _Optional[float] = ..., running: _Optional[int] = ..., waiting: _Optional[int] = ..., prompt_tokens: _Optional[int] = ..., generated_tokens: _Optional[int] = ...) -> None: ...

class GetMetricsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetMetricsResponse(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class GetLogLevelRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetLogLevelResponse(_message.Message):
    __slots__ = ("level",)
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    level: LogLevel
    def __init__(self, level: _Optional[_Union[LogLevel, str]] = ...) -> None: ...

class SetLogLevelRequest(_message.Message):
    __slots__ = ("level",)
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    level: LogLevel
    def __init__(self, level: _Optional[_Union[LogLevel, str]] = ...) -> None: ...

class SetLogLevelResponse(_message.Message):
    __slots__ = ("previous_level",)
    PREVIOUS_LEVEL_FIELD_NUMBER: _ClassVar[int]
    previous_level: LogLevel
    def __init__(self, previous_level: _Optional[_Union[LogLevel, str]] = ...) -> None: ...

class CheckServerRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CheckServerResponse(_message.Message):
    __slots__ = ("checks",)
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    checks: _containers.RepeatedCompositeFieldContainer[ServerCheck]
    def __init__(self, checks: _Optional[_Iterable[_Union[ServerCheck, _Mapping]]] = ...) -> None: ...

class ServerCheck(_message.Message):
    __slots__ = ("name", "result", "message", "fix")
    class Result(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        RESULT_UNSPECIFIED: _ClassVar[ServerCheck.Result]
        RESULT_OK: _ClassVar[ServerCheck.Result]
        RESULT_WARNING: _ClassVar[ServerCheck.Result]
        RESULT_PROBLEM: _ClassVar[ServerCheck.Result]
    RESULT_UNSPECIFIED: ServerCheck.Result
    RESULT_OK: ServerCheck.Result
    RESULT_WARNING: ServerCheck.Result
    RESULT_PROBLEM: ServerCheck.Result
    NAME_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIX_FIELD_NUMBER: _ClassVar[int]
    name: str
    result: ServerCheck.Result
    message: str
    fix: str
    def __init__(self, name: _Optional[str] = ..., result: _Optional[_Union[ServerCheck.Result, str]] = ..., message: _Optional[str] = ..., fix: _Optional[str] = ...) -> None: ...
