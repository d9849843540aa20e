import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.longrunning import operations_pb2 as _operations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WatchOperationRequest(_message.Message):
    __slots__ = ("name", "after_sequence")
    NAME_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    after_sequence: int
    def __init__(self, name: _Optional[str] = ..., after_sequence: _Optional[int] = ...) -> None: ...

class OperationEvent(_message.Message):
    __slots__ = ("sequence", "time", "progress", "done", "heartbeat")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    time: _timestamp_pb2.Timestamp
    progress: OperationProgress
    done: _operations_pb2.Operation
    heartbeat: OperationHeartbeat
    def __init__(self, sequence: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., progress: _Optional[_Union[OperationProgress, _Mapping]] = ..., done: _Optional[_Union[_operations_pb2.Operation, _Mapping]] = ..., heartbeat: _Optional[_Union[OperationHeartbeat, _Mapping]] = ...) -> None: ...

class OperationHeartbeat(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class OperationMetadata(_message.Message):
    __slots__ = ("kind", "target", "state", "create_time", "end_time", "progress", "sequence")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[OperationMetadata.State]
        STATE_RUNNING: _ClassVar[OperationMetadata.State]
        STATE_SUCCEEDED: _ClassVar[OperationMetadata.State]
        STATE_FAILED: _ClassVar[OperationMetadata.State]
        STATE_CANCELLED: _ClassVar[OperationMetadata.State]
    STATE_UNSPECIFIED: OperationMetadata.State
    STATE_RUNNING: OperationMetadata.State
    STATE_SUCCEEDED: OperationMetadata.State
    STATE_FAILED: OperationMetadata.State
    STATE_CANCELLED: OperationMetadata.State
    KIND_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    target: str
    state: OperationMetadata.State
    create_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    progress: OperationProgress
    sequence: int
    def __init__(self, kind: _Optional[str] = ..., target: _Optional[str] = ..., state: _Optional[_Union[OperationMetadata.State, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., progress: _Optional[_Union[OperationProgress, _Mapping]] = ..., sequence: _Optional[int] = ...) -> None: ...

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
