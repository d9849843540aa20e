import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Model(_message.Message):
    __slots__ = ("name", "create_time", "aliases", "live", "version_count")
    class AliasesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    LIVE_FIELD_NUMBER: _ClassVar[int]
    VERSION_COUNT_FIELD_NUMBER: _ClassVar[int]
    name: str
    create_time: _timestamp_pb2.Timestamp
    aliases: _containers.ScalarMap[str, str]
    live: ModelVersion
    version_count: int
    def __init__(self, name: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., aliases: _Optional[_Mapping[str, str]] = ..., live: _Optional[_Union[ModelVersion, _Mapping]] = ..., version_count: _Optional[int] = ...) -> None: ...

class ModelVersion(_message.Message):
    __slots__ = ("name", "create_time", "architecture", "parameter_count", "context_length", "vocabulary_size", "dtype", "byte_size", "digest", "license", "source", "chat", "residency", "notes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    PARAMETER_COUNT_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_LENGTH_FIELD_NUMBER: _ClassVar[int]
    VOCABULARY_SIZE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    BYTE_SIZE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    LICENSE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    CHAT_FIELD_NUMBER: _ClassVar[int]
    RESIDENCY_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    create_time: _timestamp_pb2.Timestamp
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
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., architecture: _Optional[str] = ..., parameter_count: _Optional[int] = ..., context_length: _Optional[int] = ..., vocabulary_size: _Optional[int] = ..., dtype: _Optional[str] = ..., byte_size: _Optional[int] = ..., digest: _Optional[str] = ..., license: _Optional[str] = ..., source: _Optional[str] = ..., chat: _Optional[bool] = ..., residency: _Optional[_Union[Residency, _Mapping]] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class Residency(_message.Message):
    __slots__ = ("state", "pid", "runner", "device", "dtype", "resident_bytes", "kv_blocks_total", "kv_blocks_used", "running", "waiting", "last_use_time", "expire_time", "restarts", "failure", "counters", "host")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Residency.State]
        STATE_UNLOADED: _ClassVar[Residency.State]
        STATE_LOADING: _ClassVar[Residency.State]
        STATE_LOADED: _ClassVar[Residency.State]
        STATE_UNLOADING: _ClassVar[Residency.State]
        STATE_IDLE: _ClassVar[Residency.State]
        STATE_RESTARTING: _ClassVar[Residency.State]
        STATE_FAILED: _ClassVar[Residency.State]
    STATE_UNSPECIFIED: Residency.State
    STATE_UNLOADED: Residency.State
    STATE_LOADING: Residency.State
    STATE_LOADED: Residency.State
    STATE_UNLOADING: Residency.State
    STATE_IDLE: Residency.State
    STATE_RESTARTING: Residency.State
    STATE_FAILED: Residency.State
    class Counters(_message.Message):
        __slots__ = ("steps", "preemptions", "prompt_tokens", "cached_prompt_tokens", "drafted_tokens", "accepted_tokens")
        STEPS_FIELD_NUMBER: _ClassVar[int]
        PREEMPTIONS_FIELD_NUMBER: _ClassVar[int]
        PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
        CACHED_PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
        DRAFTED_TOKENS_FIELD_NUMBER: _ClassVar[int]
        ACCEPTED_TOKENS_FIELD_NUMBER: _ClassVar[int]
        steps: int
        preemptions: int
        prompt_tokens: int
        cached_prompt_tokens: int
        drafted_tokens: int
        accepted_tokens: int
        def __init__(self, steps: _Optional[int] = ..., preemptions: _Optional[int] = ..., prompt_tokens: _Optional[int] = ..., cached_prompt_tokens: _Optional[int] = ..., drafted_tokens: _Optional[int] = ..., accepted_tokens: _Optional[int] = ...) -> None: ...
    STATE_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    RUNNER_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    RESIDENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    KV_BLOCKS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    KV_BLOCKS_USED_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    LAST_USE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    state: Residency.State
    pid: int
    runner: str
    device: str
    dtype: str
    resident_bytes: int
    kv_blocks_total: int
    kv_blocks_used: int
    running: int
    waiting: int
    last_use_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    restarts: int
    failure: _status_pb2.Status
    counters: Residency.Counters
    host: str
    def __init__(self, state: _Optional[_Union[Residency.State, str]] = ..., pid: _Optional[int] = ..., runner: _Optional[str] = ..., device: _Optional[str] = ..., dtype: _Optional[str] = ..., resident_bytes: _Optional[int] = ..., kv_blocks_total: _Optional[int] = ..., kv_blocks_used: _Optional[int] = ..., running: _Optional[int] = ..., waiting: _Optional[int] = ..., last_use_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., restarts: _Optional[int] = ..., failure: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., counters: _Optional[_Union[Residency.Counters, _Mapping]] = ..., host: _Optional[str] = ...) -> None: ...
