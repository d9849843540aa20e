import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Promotion(_message.Message):
    __slots__ = ("model", "alias", "version", "previous", "create_time", "cause", "state", "operation", "probation_end_time", "rollback_time", "rollback_reason", "automatic")
    class Cause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        CAUSE_UNSPECIFIED: _ClassVar[Promotion.Cause]
        CAUSE_PROMOTED: _ClassVar[Promotion.Cause]
        CAUSE_SET: _ClassVar[Promotion.Cause]
        CAUSE_PUBLISHED: _ClassVar[Promotion.Cause]
    CAUSE_UNSPECIFIED: Promotion.Cause
    CAUSE_PROMOTED: Promotion.Cause
    CAUSE_SET: Promotion.Cause
    CAUSE_PUBLISHED: Promotion.Cause
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Promotion.State]
        STATE_PROBATION: _ClassVar[Promotion.State]
        STATE_STANDING: _ClassVar[Promotion.State]
        STATE_ROLLED_BACK: _ClassVar[Promotion.State]
    STATE_UNSPECIFIED: Promotion.State
    STATE_PROBATION: Promotion.State
    STATE_STANDING: Promotion.State
    STATE_ROLLED_BACK: Promotion.State
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    PROBATION_END_TIME_FIELD_NUMBER: _ClassVar[int]
    ROLLBACK_TIME_FIELD_NUMBER: _ClassVar[int]
    ROLLBACK_REASON_FIELD_NUMBER: _ClassVar[int]
    AUTOMATIC_FIELD_NUMBER: _ClassVar[int]
    model: str
    alias: str
    version: str
    previous: str
    create_time: _timestamp_pb2.Timestamp
    cause: Promotion.Cause
    state: Promotion.State
    operation: str
    probation_end_time: _timestamp_pb2.Timestamp
    rollback_time: _timestamp_pb2.Timestamp
    rollback_reason: str
    automatic: bool
    def __init__(self, model: _Optional[str] = ..., alias: _Optional[str] = ..., version: _Optional[str] = ..., previous: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cause: _Optional[_Union[Promotion.Cause, str]] = ..., state: _Optional[_Union[Promotion.State, str]] = ..., operation: _Optional[str] = ..., probation_end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., rollback_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., rollback_reason: _Optional[str] = ..., automatic: _Optional[bool] = ...) -> None: ...

class Probation(_message.Message):
    __slots__ = ("duration", "engine_losses", "failed_share")
    DURATION_FIELD_NUMBER: _ClassVar[int]
    ENGINE_LOSSES_FIELD_NUMBER: _ClassVar[int]
    FAILED_SHARE_FIELD_NUMBER: _ClassVar[int]
    duration: _duration_pb2.Duration
    engine_losses: int
    failed_share: float
    def __init__(self, duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., engine_losses: _Optional[int] = ..., failed_share: _Optional[float] = ...) -> None: ...

class GateCondition(_message.Message):
    __slots__ = ("suite", "metric", "at_least", "at_most", "max_regression")
    SUITE_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    AT_MOST_FIELD_NUMBER: _ClassVar[int]
    MAX_REGRESSION_FIELD_NUMBER: _ClassVar[int]
    suite: str
    metric: str
    at_least: float
    at_most: float
    max_regression: float
    def __init__(self, suite: _Optional[str] = ..., metric: _Optional[str] = ..., at_least: _Optional[float] = ..., at_most: _Optional[float] = ..., max_regression: _Optional[float] = ...) -> None: ...

class GatePolicy(_message.Message):
    __slots__ = ("model", "alias", "conditions")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    model: str
    alias: str
    conditions: _containers.RepeatedCompositeFieldContainer[GateCondition]
    def __init__(self, model: _Optional[str] = ..., alias: _Optional[str] = ..., conditions: _Optional[_Iterable[_Union[GateCondition, _Mapping]]] = ...) -> None: ...
