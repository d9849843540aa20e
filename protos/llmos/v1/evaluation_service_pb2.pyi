from buf.validate import validate_pb2 as _validate_pb2
from google.longrunning import operations_pb2 as _operations_pb2
from google.protobuf import empty_pb2 as _empty_pb2
from llmos.v1 import dataset_pb2 as _dataset_pb2
from llmos.v1 import evaluation_pb2 as _evaluation_pb2
from llmos.v1 import priority_pb2 as _priority_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EvaluateModelRequest(_message.Message):
    __slots__ = ("model", "answers", "parts", "max_examples", "seed", "resamples", "confidence", "concurrency", "priority", "request_id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    MAX_EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    RESAMPLES_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    answers: str
    parts: _containers.RepeatedCompositeFieldContainer[EvaluationPart]
    max_examples: int
    seed: int
    resamples: int
    confidence: float
    concurrency: int
    priority: _priority_pb2.Priority
    request_id: str
    def __init__(self, model: _Optional[str] = ..., answers: _Optional[str] = ..., parts: _Optional[_Iterable[_Union[EvaluationPart, _Mapping]]] = ..., max_examples: _Optional[int] = ..., seed: _Optional[int] = ..., resamples: _Optional[int] = ..., confidence: _Optional[float] = ..., concurrency: _Optional[int] = ..., priority: _Optional[_Union[_priority_pb2.Priority, str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class EvaluationPart(_message.Message):
    __slots__ = ("label", "dataset", "suite", "split", "task", "settings", "noise")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    SUITE_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    NOISE_FIELD_NUMBER: _ClassVar[int]
    label: str
    dataset: str
    suite: str
    split: _dataset_pb2.DatasetSplit
    task: _evaluation_pb2.EvaluationTask
    settings: _evaluation_pb2.EvaluationSettings
    noise: _dataset_pb2.Noise
    def __init__(self, label: _Optional[str] = ..., dataset: _Optional[str] = ..., suite: _Optional[str] = ..., split: _Optional[_Union[_dataset_pb2.DatasetSplit, str]] = ..., task: _Optional[_Union[_evaluation_pb2.EvaluationTask, str]] = ..., settings: _Optional[_Union[_evaluation_pb2.EvaluationSettings, _Mapping]] = ..., noise: _Optional[_Union[_dataset_pb2.Noise, _Mapping]] = ...) -> None: ...

class GetEvaluationRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListEvaluationsRequest(_message.Message):
    __slots__ = ("model", "page_size", "page_token")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    model: str
    page_size: int
    page_token: str
    def __init__(self, model: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListEvaluationsResponse(_message.Message):
    __slots__ = ("evaluations", "next_page_token")
    EVALUATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    evaluations: _containers.RepeatedCompositeFieldContainer[_evaluation_pb2.Evaluation]
    next_page_token: str
    def __init__(self, evaluations: _Optional[_Iterable[_Union[_evaluation_pb2.Evaluation, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteEvaluationRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListEvaluationExamplesRequest(_message.Message):
    __slots__ = ("parent", "result", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    result: str
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., result: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListEvaluationExamplesResponse(_message.Message):
    __slots__ = ("examples", "next_page_token")
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    examples: _containers.RepeatedCompositeFieldContainer[EvaluationExample]
    next_page_token: str
    def __init__(self, examples: _Optional[_Iterable[_Union[EvaluationExample, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class EvaluationExample(_message.Message):
    __slots__ = ("row", "input_json", "output_json", "metrics", "error")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    ROW_FIELD_NUMBER: _ClassVar[int]
    INPUT_JSON_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_JSON_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    row: int
    input_json: str
    output_json: str
    metrics: _containers.ScalarMap[str, float]
    error: str
    def __init__(self, row: _Optional[int] = ..., input_json: _Optional[str] = ..., output_json: _Optional[str] = ..., metrics: _Optional[_Mapping[str, float]] = ..., error: _Optional[str] = ...) -> None: ...

class CompareEvaluationsRequest(_message.Message):
    __slots__ = ("first", "second", "resamples", "confidence")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    SECOND_FIELD_NUMBER: _ClassVar[int]
    RESAMPLES_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    first: str
    second: str
    resamples: int
    confidence: float
    def __init__(self, first: _Optional[str] = ..., second: _Optional[str] = ..., resamples: _Optional[int] = ..., confidence: _Optional[float] = ...) -> None: ...

class CompareEvaluationsResponse(_message.Message):
    __slots__ = ("differences",)
    DIFFERENCES_FIELD_NUMBER: _ClassVar[int]
    differences: _containers.RepeatedCompositeFieldContainer[EvaluationDifference]
    def __init__(self, differences: _Optional[_Iterable[_Union[EvaluationDifference, _Mapping]]] = ...) -> None: ...

class EvaluationDifference(_message.Message):
    __slots__ = ("result", "metric", "first", "second", "difference", "low", "high", "p_value", "wins", "example_count")
    RESULT_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    SECOND_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    P_VALUE_FIELD_NUMBER: _ClassVar[int]
    WINS_FIELD_NUMBER: _ClassVar[int]
    EXAMPLE_COUNT_FIELD_NUMBER: _ClassVar[int]
    result: str
    metric: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    p_value: float
    wins: float
    example_count: int
    def __init__(self, result: _Optional[str] = ..., metric: _Optional[str] = ..., first: _Optional[float] = ..., second: _Optional[float] = ..., difference: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., p_value: _Optional[float] = ..., wins: _Optional[float] = ..., example_count: _Optional[int] = ...) -> None: ...

class ListSuitesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListSuitesResponse(_message.Message):
    __slots__ = ("suites",)
    SUITES_FIELD_NUMBER: _ClassVar[int]
    suites: _containers.RepeatedCompositeFieldContainer[Suite]
    def __init__(self, suites: _Optional[_Iterable[_Union[Suite, _Mapping]]] = ...) -> None: ...

class Suite(_message.Message):
    __slots__ = ("id", "kind", "row_count", "description")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ROW_COUNT_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: _dataset_pb2.DatasetKind
    row_count: int
    description: str
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[_Union[_dataset_pb2.DatasetKind, str]] = ..., row_count: _Optional[int] = ..., description: _Optional[str] = ...) -> None: ...
