import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.longrunning import operations_pb2 as _operations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PauseOperationRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ResumeOperationRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class WatchOperationRequest(_message.Message):
    __slots__ = ("name", "after_sequence")
    NAME_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    after_sequence: int
    def __init__(self, name: _Optional[str] = ..., after_sequence: _Optional[int] = ...) -> None: ...

class OperationEvent(_message.Message):
    __slots__ = ("sequence", "time", "progress", "done", "heartbeat", "phase", "metrics", "sample", "checkpoint", "warning")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    WARNING_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    time: _timestamp_pb2.Timestamp
    progress: OperationProgress
    done: _operations_pb2.Operation
    heartbeat: OperationHeartbeat
    phase: OperationPhase
    metrics: OperationMetrics
    sample: OperationSample
    checkpoint: OperationCheckpoint
    warning: OperationWarning
    def __init__(self, sequence: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., progress: _Optional[_Union[OperationProgress, _Mapping]] = ..., done: _Optional[_Union[_operations_pb2.Operation, _Mapping]] = ..., heartbeat: _Optional[_Union[OperationHeartbeat, _Mapping]] = ..., phase: _Optional[_Union[OperationPhase, _Mapping]] = ..., metrics: _Optional[_Union[OperationMetrics, _Mapping]] = ..., sample: _Optional[_Union[OperationSample, _Mapping]] = ..., checkpoint: _Optional[_Union[OperationCheckpoint, _Mapping]] = ..., warning: _Optional[_Union[OperationWarning, _Mapping]] = ...) -> None: ...

class OperationPhase(_message.Message):
    __slots__ = ("state", "reason")
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    state: OperationMetadata.State
    reason: str
    def __init__(self, state: _Optional[_Union[OperationMetadata.State, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class OperationMetrics(_message.Message):
    __slots__ = ("step", "source", "values")
    class Source(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        SOURCE_UNSPECIFIED: _ClassVar[OperationMetrics.Source]
        SOURCE_TRAINING: _ClassVar[OperationMetrics.Source]
        SOURCE_EVALUATION: _ClassVar[OperationMetrics.Source]
    SOURCE_UNSPECIFIED: OperationMetrics.Source
    SOURCE_TRAINING: OperationMetrics.Source
    SOURCE_EVALUATION: OperationMetrics.Source
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    STEP_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    step: int
    source: OperationMetrics.Source
    values: _containers.ScalarMap[str, float]
    def __init__(self, step: _Optional[int] = ..., source: _Optional[_Union[OperationMetrics.Source, str]] = ..., values: _Optional[_Mapping[str, float]] = ...) -> None: ...

class OperationSample(_message.Message):
    __slots__ = ("step", "prompt", "text")
    STEP_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    step: int
    prompt: str
    text: str
    def __init__(self, step: _Optional[int] = ..., prompt: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class OperationCheckpoint(_message.Message):
    __slots__ = ("step", "best")
    STEP_FIELD_NUMBER: _ClassVar[int]
    BEST_FIELD_NUMBER: _ClassVar[int]
    step: int
    best: bool
    def __init__(self, step: _Optional[int] = ..., best: _Optional[bool] = ...) -> None: ...

class OperationWarning(_message.Message):
    __slots__ = ("message",)
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    message: str
    def __init__(self, message: _Optional[str] = ...) -> None: ...

class OperationHeartbeat(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class OperationMetadata(_message.Message):
    __slots__ = ("kind", "target", "state", "create_time", "end_time", "progress", "sequence", "metrics")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[OperationMetadata.State]
        STATE_RUNNING: _ClassVar[OperationMetadata.State]
        STATE_SUCCEEDED: _ClassVar[OperationMetadata.State]
        STATE_FAILED: _ClassVar[OperationMetadata.State]
        STATE_CANCELLED: _ClassVar[OperationMetadata.State]
        STATE_QUEUED: _ClassVar[OperationMetadata.State]
        STATE_PAUSED: _ClassVar[OperationMetadata.State]
    STATE_UNSPECIFIED: OperationMetadata.State
    STATE_RUNNING: OperationMetadata.State
    STATE_SUCCEEDED: OperationMetadata.State
    STATE_FAILED: OperationMetadata.State
    STATE_CANCELLED: OperationMetadata.State
    STATE_QUEUED: OperationMetadata.State
    STATE_PAUSED: OperationMetadata.State
    KIND_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    kind: str
    target: str
    state: OperationMetadata.State
    create_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    progress: OperationProgress
    sequence: int
    metrics: OperationMetrics
    def __init__(self, kind: _Optional[str] = ..., target: _Optional[str] = ..., state: _Optional[_Union[OperationMetadata.State, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., progress: _Optional[_Union[OperationProgress, _Mapping]] = ..., sequence: _Optional[int] = ..., metrics: _Optional[_Union[OperationMetrics, _Mapping]] = ...) -> None: ...

class OperationProgress(_message.Message):
    __slots__ = ("stage", "completed", "total", "unit")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    stage: str
    completed: int
    total: int
    unit: str
    def __init__(self, stage: _Optional[str] = ..., completed: _Optional[int] = ..., total: _Optional[int] = ..., unit: _Optional[str] = ...) -> None: ...
