from buf.validate import validate_pb2 as _validate_pb2
from google.longrunning import operations_pb2 as _operations_pb2
from llmos.v1 import evaluation_pb2 as _evaluation_pb2
from llmos.v1 import evaluation_service_pb2 as _evaluation_service_pb2
from llmos.v1 import model_pb2 as _model_pb2
from llmos.v1 import training_service_pb2 as _training_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class QuantizedDtype(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUANTIZED_DTYPE_UNSPECIFIED: _ClassVar[QuantizedDtype]
    QUANTIZED_DTYPE_INT8: _ClassVar[QuantizedDtype]
    QUANTIZED_DTYPE_INT4: _ClassVar[QuantizedDtype]
QUANTIZED_DTYPE_UNSPECIFIED: QuantizedDtype
QUANTIZED_DTYPE_INT8: QuantizedDtype
QUANTIZED_DTYPE_INT4: QuantizedDtype

class OptimizeModelRequest(_message.Message):
    __slots__ = ("model", "output_model_id", "quantize", "prune", "merge", "average", "calibration_dataset", "calibration_rows", "evaluate_on", "max_examples", "max_metric_regression", "request_id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTIZE_FIELD_NUMBER: _ClassVar[int]
    PRUNE_FIELD_NUMBER: _ClassVar[int]
    MERGE_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_DATASET_FIELD_NUMBER: _ClassVar[int]
    CALIBRATION_ROWS_FIELD_NUMBER: _ClassVar[int]
    EVALUATE_ON_FIELD_NUMBER: _ClassVar[int]
    MAX_EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    MAX_METRIC_REGRESSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    output_model_id: str
    quantize: QuantizeMethod
    prune: PruneMethod
    merge: MergeMethod
    average: AverageMethod
    calibration_dataset: str
    calibration_rows: int
    evaluate_on: _containers.RepeatedCompositeFieldContainer[_evaluation_service_pb2.EvaluationPart]
    max_examples: int
    max_metric_regression: float
    request_id: str
    def __init__(self, model: _Optional[str] = ..., output_model_id: _Optional[str] = ..., quantize: _Optional[_Union[QuantizeMethod, _Mapping]] = ..., prune: _Optional[_Union[PruneMethod, _Mapping]] = ..., merge: _Optional[_Union[MergeMethod, _Mapping]] = ..., average: _Optional[_Union[AverageMethod, _Mapping]] = ..., calibration_dataset: _Optional[str] = ..., calibration_rows: _Optional[int] = ..., evaluate_on: _Optional[_Iterable[_Union[_evaluation_service_pb2.EvaluationPart, _Mapping]]] = ..., max_examples: _Optional[int] = ..., max_metric_regression: _Optional[float] = ..., request_id: _Optional[str] = ...) -> None: ...

class QuantizeMethod(_message.Message):
    __slots__ = ("dtype",)
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    dtype: QuantizedDtype
    def __init__(self, dtype: _Optional[_Union[QuantizedDtype, str]] = ...) -> None: ...

class PruneMethod(_message.Message):
    __slots__ = ("sparsity", "neurons")
    SPARSITY_FIELD_NUMBER: _ClassVar[int]
    NEURONS_FIELD_NUMBER: _ClassVar[int]
    sparsity: float
    neurons: float
    def __init__(self, sparsity: _Optional[float] = ..., neurons: _Optional[float] = ...) -> None: ...

class MergeMethod(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AverageMethod(_message.Message):
    __slots__ = ("others", "weight")
    OTHERS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    others: _containers.RepeatedCompositeFieldContainer[AverageItem]
    weight: float
    def __init__(self, others: _Optional[_Iterable[_Union[AverageItem, _Mapping]]] = ..., weight: _Optional[float] = ...) -> None: ...

class AverageItem(_message.Message):
    __slots__ = ("model", "weight")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    model: str
    weight: float
    def __init__(self, model: _Optional[str] = ..., weight: _Optional[float] = ...) -> None: ...

class OptimizeModelResponse(_message.Message):
    __slots__ = ("version", "source", "before", "after", "report")
    class ReportEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    version: _model_pb2.ModelVersion
    source: _model_pb2.ModelVersion
    before: _evaluation_pb2.Evaluation
    after: _evaluation_pb2.Evaluation
    report: _containers.ScalarMap[str, float]
    def __init__(self, version: _Optional[_Union[_model_pb2.ModelVersion, _Mapping]] = ..., source: _Optional[_Union[_model_pb2.ModelVersion, _Mapping]] = ..., before: _Optional[_Union[_evaluation_pb2.Evaluation, _Mapping]] = ..., after: _Optional[_Union[_evaluation_pb2.Evaluation, _Mapping]] = ..., report: _Optional[_Mapping[str, float]] = ...) -> None: ...

class SweepTrainingRequest(_message.Message):
    __slots__ = ("training", "axes", "max_trials", "seed", "metric", "maximize", "keep_all", "request_id")
    TRAINING_FIELD_NUMBER: _ClassVar[int]
    AXES_FIELD_NUMBER: _ClassVar[int]
    MAX_TRIALS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    MAXIMIZE_FIELD_NUMBER: _ClassVar[int]
    KEEP_ALL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    training: _training_service_pb2.TrainModelRequest
    axes: _containers.RepeatedCompositeFieldContainer[SweepAxis]
    max_trials: int
    seed: int
    metric: str
    maximize: bool
    keep_all: bool
    request_id: str
    def __init__(self, training: _Optional[_Union[_training_service_pb2.TrainModelRequest, _Mapping]] = ..., axes: _Optional[_Iterable[_Union[SweepAxis, _Mapping]]] = ..., max_trials: _Optional[int] = ..., seed: _Optional[int] = ..., metric: _Optional[str] = ..., maximize: _Optional[bool] = ..., keep_all: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class SweepAxis(_message.Message):
    __slots__ = ("field", "values")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    field: str
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, field: _Optional[str] = ..., values: _Optional[_Iterable[str]] = ...) -> None: ...

class SweepTrainingResponse(_message.Message):
    __slots__ = ("version", "trials", "best")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TRIALS_FIELD_NUMBER: _ClassVar[int]
    BEST_FIELD_NUMBER: _ClassVar[int]
    version: _model_pb2.ModelVersion
    trials: _containers.RepeatedCompositeFieldContainer[SweepTrial]
    best: int
    def __init__(self, version: _Optional[_Union[_model_pb2.ModelVersion, _Mapping]] = ..., trials: _Optional[_Iterable[_Union[SweepTrial, _Mapping]]] = ..., best: _Optional[int] = ...) -> None: ...

class SweepTrial(_message.Message):
    __slots__ = ("settings", "value", "metrics", "operation", "error", "version")
    class SettingsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    settings: _containers.ScalarMap[str, str]
    value: float
    metrics: _containers.ScalarMap[str, float]
    operation: str
    error: str
    version: str
    def __init__(self, settings: _Optional[_Mapping[str, str]] = ..., value: _Optional[float] = ..., metrics: _Optional[_Mapping[str, float]] = ..., operation: _Optional[str] = ..., error: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...
