import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.longrunning import operations_pb2 as _operations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from llmos.v1 import dataset_pb2 as _dataset_pb2
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

class FeedbackKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FEEDBACK_KIND_UNSPECIFIED: _ClassVar[FeedbackKind]
    FEEDBACK_KIND_UP: _ClassVar[FeedbackKind]
    FEEDBACK_KIND_DOWN: _ClassVar[FeedbackKind]
    FEEDBACK_KIND_EDIT: _ClassVar[FeedbackKind]
    FEEDBACK_KIND_BETTER: _ClassVar[FeedbackKind]
    FEEDBACK_KIND_TIE: _ClassVar[FeedbackKind]
    FEEDBACK_KIND_WORSE: _ClassVar[FeedbackKind]
FEEDBACK_KIND_UNSPECIFIED: FeedbackKind
FEEDBACK_KIND_UP: FeedbackKind
FEEDBACK_KIND_DOWN: FeedbackKind
FEEDBACK_KIND_EDIT: FeedbackKind
FEEDBACK_KIND_BETTER: FeedbackKind
FEEDBACK_KIND_TIE: FeedbackKind
FEEDBACK_KIND_WORSE: FeedbackKind

class Feedback(_message.Message):
    __slots__ = ("name", "create_time", "generation", "model_version", "model_digest", "kind", "other_model_version", "prompt_json", "answer", "other_answer", "edit", "comment", "consent", "tenant", "subject")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    OTHER_MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    PROMPT_JSON_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    OTHER_ANSWER_FIELD_NUMBER: _ClassVar[int]
    EDIT_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    CONSENT_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    name: str
    create_time: _timestamp_pb2.Timestamp
    generation: str
    model_version: str
    model_digest: str
    kind: FeedbackKind
    other_model_version: str
    prompt_json: str
    answer: str
    other_answer: str
    edit: str
    comment: str
    consent: bool
    tenant: str
    subject: str
    def __init__(self, name: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., generation: _Optional[str] = ..., model_version: _Optional[str] = ..., model_digest: _Optional[str] = ..., kind: _Optional[_Union[FeedbackKind, str]] = ..., other_model_version: _Optional[str] = ..., prompt_json: _Optional[str] = ..., answer: _Optional[str] = ..., other_answer: _Optional[str] = ..., edit: _Optional[str] = ..., comment: _Optional[str] = ..., consent: _Optional[bool] = ..., tenant: _Optional[str] = ..., subject: _Optional[str] = ...) -> None: ...

class CreateFeedbackRequest(_message.Message):
    __slots__ = ("generation", "choice", "kind", "edit", "other_generation", "other_choice", "comment", "consent", "subject")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    EDIT_FIELD_NUMBER: _ClassVar[int]
    OTHER_GENERATION_FIELD_NUMBER: _ClassVar[int]
    OTHER_CHOICE_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    CONSENT_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    generation: str
    choice: int
    kind: FeedbackKind
    edit: str
    other_generation: str
    other_choice: int
    comment: str
    consent: bool
    subject: str
    def __init__(self, generation: _Optional[str] = ..., choice: _Optional[int] = ..., kind: _Optional[_Union[FeedbackKind, str]] = ..., edit: _Optional[str] = ..., other_generation: _Optional[str] = ..., other_choice: _Optional[int] = ..., comment: _Optional[str] = ..., consent: _Optional[bool] = ..., subject: _Optional[str] = ...) -> None: ...

class ListFeedbackRequest(_message.Message):
    __slots__ = ("model", "page_size", "page_token")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    model: str
    page_size: int
    page_token: str
    def __init__(self, model: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListFeedbackResponse(_message.Message):
    __slots__ = ("feedback", "next_page_token")
    FEEDBACK_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    feedback: _containers.RepeatedCompositeFieldContainer[Feedback]
    next_page_token: str
    def __init__(self, feedback: _Optional[_Iterable[_Union[Feedback, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteFeedbackRequest(_message.Message):
    __slots__ = ("name", "subject")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    name: str
    subject: str
    def __init__(self, name: _Optional[str] = ..., subject: _Optional[str] = ...) -> None: ...

class DeleteFeedbackResponse(_message.Message):
    __slots__ = ("deleted_count", "removed_datasets", "marked_versions")
    DELETED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REMOVED_DATASETS_FIELD_NUMBER: _ClassVar[int]
    MARKED_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    deleted_count: int
    removed_datasets: _containers.RepeatedScalarFieldContainer[str]
    marked_versions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, deleted_count: _Optional[int] = ..., removed_datasets: _Optional[_Iterable[str]] = ..., marked_versions: _Optional[_Iterable[str]] = ...) -> None: ...

class ExportFeedbackRequest(_message.Message):
    __slots__ = ("model", "dataset_id", "kind", "max_tenant_share", "replay_dataset", "replay_share", "request_id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DATASET_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MAX_TENANT_SHARE_FIELD_NUMBER: _ClassVar[int]
    REPLAY_DATASET_FIELD_NUMBER: _ClassVar[int]
    REPLAY_SHARE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    dataset_id: str
    kind: _dataset_pb2.DatasetKind
    max_tenant_share: float
    replay_dataset: str
    replay_share: float
    request_id: str
    def __init__(self, model: _Optional[str] = ..., dataset_id: _Optional[str] = ..., kind: _Optional[_Union[_dataset_pb2.DatasetKind, str]] = ..., max_tenant_share: _Optional[float] = ..., replay_dataset: _Optional[str] = ..., replay_share: _Optional[float] = ..., request_id: _Optional[str] = ...) -> None: ...

class RateModelsRequest(_message.Message):
    __slots__ = ("versions", "resamples")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    RESAMPLES_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedScalarFieldContainer[str]
    resamples: int
    def __init__(self, versions: _Optional[_Iterable[str]] = ..., resamples: _Optional[int] = ...) -> None: ...

class RateModelsResponse(_message.Message):
    __slots__ = ("ratings", "comparison_count", "agreement")
    RATINGS_FIELD_NUMBER: _ClassVar[int]
    COMPARISON_COUNT_FIELD_NUMBER: _ClassVar[int]
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    ratings: _containers.RepeatedCompositeFieldContainer[ModelRating]
    comparison_count: int
    agreement: float
    def __init__(self, ratings: _Optional[_Iterable[_Union[ModelRating, _Mapping]]] = ..., comparison_count: _Optional[int] = ..., agreement: _Optional[float] = ...) -> None: ...

class ModelRating(_message.Message):
    __slots__ = ("version", "rating", "low", "high", "wins", "comparison_count")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RATING_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    WINS_FIELD_NUMBER: _ClassVar[int]
    COMPARISON_COUNT_FIELD_NUMBER: _ClassVar[int]
    version: str
    rating: float
    low: float
    high: float
    wins: float
    comparison_count: int
    def __init__(self, version: _Optional[str] = ..., rating: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., wins: _Optional[float] = ..., comparison_count: _Optional[int] = ...) -> None: ...

class LearnFromFeedbackRequest(_message.Message):
    __slots__ = ("model", "training", "replay_dataset", "replay_share", "max_tenant_share", "evaluate_on", "max_metric_regression", "promote", "min_rows", "request_id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TRAINING_FIELD_NUMBER: _ClassVar[int]
    REPLAY_DATASET_FIELD_NUMBER: _ClassVar[int]
    REPLAY_SHARE_FIELD_NUMBER: _ClassVar[int]
    MAX_TENANT_SHARE_FIELD_NUMBER: _ClassVar[int]
    EVALUATE_ON_FIELD_NUMBER: _ClassVar[int]
    MAX_METRIC_REGRESSION_FIELD_NUMBER: _ClassVar[int]
    PROMOTE_FIELD_NUMBER: _ClassVar[int]
    MIN_ROWS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    training: _training_service_pb2.TrainModelRequest
    replay_dataset: str
    replay_share: float
    max_tenant_share: float
    evaluate_on: _containers.RepeatedCompositeFieldContainer[_evaluation_service_pb2.EvaluationPart]
    max_metric_regression: float
    promote: bool
    min_rows: int
    request_id: str
    def __init__(self, model: _Optional[str] = ..., training: _Optional[_Union[_training_service_pb2.TrainModelRequest, _Mapping]] = ..., replay_dataset: _Optional[str] = ..., replay_share: _Optional[float] = ..., max_tenant_share: _Optional[float] = ..., evaluate_on: _Optional[_Iterable[_Union[_evaluation_service_pb2.EvaluationPart, _Mapping]]] = ..., max_metric_regression: _Optional[float] = ..., promote: _Optional[bool] = ..., min_rows: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class LearnFromFeedbackResponse(_message.Message):
    __slots__ = ("version", "dataset", "before", "after", "promoted", "outcome")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    PROMOTED_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    version: _model_pb2.ModelVersion
    dataset: _dataset_pb2.DatasetVersion
    before: _evaluation_pb2.Evaluation
    after: _evaluation_pb2.Evaluation
    promoted: bool
    outcome: str
    def __init__(self, version: _Optional[_Union[_model_pb2.ModelVersion, _Mapping]] = ..., dataset: _Optional[_Union[_dataset_pb2.DatasetVersion, _Mapping]] = ..., before: _Optional[_Union[_evaluation_pb2.Evaluation, _Mapping]] = ..., after: _Optional[_Union[_evaluation_pb2.Evaluation, _Mapping]] = ..., promoted: _Optional[bool] = ..., outcome: _Optional[str] = ...) -> None: ...
