from buf.validate import validate_pb2 as _validate_pb2
from llmos.v1 import generation_service_pb2 as _generation_service_pb2
from llmos.v1 import priority_pb2 as _priority_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ScoreTextRequest(_message.Message):
    __slots__ = ("model", "text", "tokens", "priority")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    model: str
    text: _generation_service_pb2.TextInput
    tokens: _generation_service_pb2.TokenInput
    priority: _priority_pb2.Priority
    def __init__(self, model: _Optional[str] = ..., text: _Optional[_Union[_generation_service_pb2.TextInput, _Mapping]] = ..., tokens: _Optional[_Union[_generation_service_pb2.TokenInput, _Mapping]] = ..., priority: _Optional[_Union[_priority_pb2.Priority, str]] = ...) -> None: ...

class ScoreTextResponse(_message.Message):
    __slots__ = ("model_version", "tokens", "logprob", "perplexity")
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    LOGPROB_FIELD_NUMBER: _ClassVar[int]
    PERPLEXITY_FIELD_NUMBER: _ClassVar[int]
    model_version: str
    tokens: _containers.RepeatedCompositeFieldContainer[_generation_service_pb2.TokenOutput]
    logprob: float
    perplexity: float
    def __init__(self, model_version: _Optional[str] = ..., tokens: _Optional[_Iterable[_Union[_generation_service_pb2.TokenOutput, _Mapping]]] = ..., logprob: _Optional[float] = ..., perplexity: _Optional[float] = ...) -> None: ...

class ClassifyTextRequest(_message.Message):
    __slots__ = ("model", "text", "tokens", "priority")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    model: str
    text: _generation_service_pb2.TextInput
    tokens: _generation_service_pb2.TokenInput
    priority: _priority_pb2.Priority
    def __init__(self, model: _Optional[str] = ..., text: _Optional[_Union[_generation_service_pb2.TextInput, _Mapping]] = ..., tokens: _Optional[_Union[_generation_service_pb2.TokenInput, _Mapping]] = ..., priority: _Optional[_Union[_priority_pb2.Priority, str]] = ...) -> None: ...

class ClassifyTextResponse(_message.Message):
    __slots__ = ("model_version", "labels", "grade")
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    GRADE_FIELD_NUMBER: _ClassVar[int]
    model_version: str
    labels: _containers.RepeatedCompositeFieldContainer[LabelScore]
    grade: float
    def __init__(self, model_version: _Optional[str] = ..., labels: _Optional[_Iterable[_Union[LabelScore, _Mapping]]] = ..., grade: _Optional[float] = ...) -> None: ...

class LabelScore(_message.Message):
    __slots__ = ("label", "probability", "logit")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    LOGIT_FIELD_NUMBER: _ClassVar[int]
    label: str
    probability: float
    logit: float
    def __init__(self, label: _Optional[str] = ..., probability: _Optional[float] = ..., logit: _Optional[float] = ...) -> None: ...
