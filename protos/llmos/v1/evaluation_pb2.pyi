import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from llmos.v1 import sampling_pb2 as _sampling_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EvaluationTask(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVALUATION_TASK_UNSPECIFIED: _ClassVar[EvaluationTask]
    EVALUATION_TASK_SCORE: _ClassVar[EvaluationTask]
    EVALUATION_TASK_ANSWER: _ClassVar[EvaluationTask]
    EVALUATION_TASK_CLASSIFY: _ClassVar[EvaluationTask]
    EVALUATION_TASK_REGRESS: _ClassVar[EvaluationTask]
    EVALUATION_TASK_CHOOSE: _ClassVar[EvaluationTask]
    EVALUATION_TASK_PREFER: _ClassVar[EvaluationTask]
    EVALUATION_TASK_CHECK: _ClassVar[EvaluationTask]
EVALUATION_TASK_UNSPECIFIED: EvaluationTask
EVALUATION_TASK_SCORE: EvaluationTask
EVALUATION_TASK_ANSWER: EvaluationTask
EVALUATION_TASK_CLASSIFY: EvaluationTask
EVALUATION_TASK_REGRESS: EvaluationTask
EVALUATION_TASK_CHOOSE: EvaluationTask
EVALUATION_TASK_PREFER: EvaluationTask
EVALUATION_TASK_CHECK: EvaluationTask

class Evaluation(_message.Message):
    __slots__ = ("name", "create_time", "model_version", "model_digest", "answers", "results", "cost")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    name: str
    create_time: _timestamp_pb2.Timestamp
    model_version: str
    model_digest: str
    answers: str
    results: _containers.RepeatedCompositeFieldContainer[EvaluationResult]
    cost: EvaluationCost
    def __init__(self, name: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., model_version: _Optional[str] = ..., model_digest: _Optional[str] = ..., answers: _Optional[str] = ..., results: _Optional[_Iterable[_Union[EvaluationResult, _Mapping]]] = ..., cost: _Optional[_Union[EvaluationCost, _Mapping]] = ...) -> None: ...

class EvaluationResult(_message.Message):
    __slots__ = ("name", "data", "data_digest", "task", "example_count", "failed_count", "metrics")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    DATA_DIGEST_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    EXAMPLE_COUNT_FIELD_NUMBER: _ClassVar[int]
    FAILED_COUNT_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    name: str
    data: str
    data_digest: str
    task: EvaluationTask
    example_count: int
    failed_count: int
    metrics: _containers.RepeatedCompositeFieldContainer[EvaluationMetric]
    def __init__(self, name: _Optional[str] = ..., data: _Optional[str] = ..., data_digest: _Optional[str] = ..., task: _Optional[_Union[EvaluationTask, str]] = ..., example_count: _Optional[int] = ..., failed_count: _Optional[int] = ..., metrics: _Optional[_Iterable[_Union[EvaluationMetric, _Mapping]]] = ...) -> None: ...

class EvaluationMetric(_message.Message):
    __slots__ = ("name", "value", "low", "high", "signature")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: float
    low: float
    high: float
    signature: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., signature: _Optional[str] = ...) -> None: ...

class EvaluationCost(_message.Message):
    __slots__ = ("duration", "prompt_tokens", "completion_tokens", "tokens_per_second", "first_token_p50", "first_token_p95", "latency_p50", "latency_p95", "resident_bytes", "dtype")
    DURATION_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    FIRST_TOKEN_P50_FIELD_NUMBER: _ClassVar[int]
    FIRST_TOKEN_P95_FIELD_NUMBER: _ClassVar[int]
    LATENCY_P50_FIELD_NUMBER: _ClassVar[int]
    LATENCY_P95_FIELD_NUMBER: _ClassVar[int]
    RESIDENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    duration: _duration_pb2.Duration
    prompt_tokens: int
    completion_tokens: int
    tokens_per_second: float
    first_token_p50: _duration_pb2.Duration
    first_token_p95: _duration_pb2.Duration
    latency_p50: _duration_pb2.Duration
    latency_p95: _duration_pb2.Duration
    resident_bytes: int
    dtype: str
    def __init__(self, duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., prompt_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ..., tokens_per_second: _Optional[float] = ..., first_token_p50: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., first_token_p95: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., latency_p50: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., latency_p95: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., resident_bytes: _Optional[int] = ..., dtype: _Optional[str] = ...) -> None: ...

class EvaluationSettings(_message.Message):
    __slots__ = ("metrics", "characters", "no_stemming", "max_order", "window", "sampling", "stopping", "system", "question")
    METRICS_FIELD_NUMBER: _ClassVar[int]
    CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    NO_STEMMING_FIELD_NUMBER: _ClassVar[int]
    MAX_ORDER_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    STOPPING_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    metrics: _containers.RepeatedScalarFieldContainer[str]
    characters: bool
    no_stemming: bool
    max_order: int
    window: int
    sampling: _sampling_pb2.SamplingParameters
    stopping: _sampling_pb2.StoppingParameters
    system: str
    question: str
    def __init__(self, metrics: _Optional[_Iterable[str]] = ..., characters: _Optional[bool] = ..., no_stemming: _Optional[bool] = ..., max_order: _Optional[int] = ..., window: _Optional[int] = ..., sampling: _Optional[_Union[_sampling_pb2.SamplingParameters, _Mapping]] = ..., stopping: _Optional[_Union[_sampling_pb2.StoppingParameters, _Mapping]] = ..., system: _Optional[str] = ..., question: _Optional[str] = ...) -> None: ...
