from buf.validate import validate_pb2 as _validate_pb2
from llmos.v1 import generation_service_pb2 as _generation_service_pb2
from llmos.v1 import priority_pb2 as _priority_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ScoreTextRequest(_message.Message):
    __slots__ = ("model", "text", "tokens", "priority", "prefix", "top")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    model: str
    text: _generation_service_pb2.TextInput
    tokens: _generation_service_pb2.TokenInput
    priority: _priority_pb2.Priority
    prefix: bool
    top: int
    def __init__(self, model: _Optional[str] = ..., text: _Optional[_Union[_generation_service_pb2.TextInput, _Mapping]] = ..., tokens: _Optional[_Union[_generation_service_pb2.TokenInput, _Mapping]] = ..., priority: _Optional[_Union[_priority_pb2.Priority, str]] = ..., prefix: _Optional[bool] = ..., top: _Optional[int] = ...) -> None: ...

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

class ScoreChoicesRequest(_message.Message):
    __slots__ = ("model", "text", "tokens", "choices", "priority")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    model: str
    text: _generation_service_pb2.TextInput
    tokens: _generation_service_pb2.TokenInput
    choices: _containers.RepeatedCompositeFieldContainer[ScoringChoice]
    priority: _priority_pb2.Priority
    def __init__(self, model: _Optional[str] = ..., text: _Optional[_Union[_generation_service_pb2.TextInput, _Mapping]] = ..., tokens: _Optional[_Union[_generation_service_pb2.TokenInput, _Mapping]] = ..., choices: _Optional[_Iterable[_Union[ScoringChoice, _Mapping]]] = ..., priority: _Optional[_Union[_priority_pb2.Priority, str]] = ...) -> None: ...

class ScoringChoice(_message.Message):
    __slots__ = ("text", "tokens")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    text: _generation_service_pb2.TextInput
    tokens: _generation_service_pb2.TokenInput
    def __init__(self, text: _Optional[_Union[_generation_service_pb2.TextInput, _Mapping]] = ..., tokens: _Optional[_Union[_generation_service_pb2.TokenInput, _Mapping]] = ...) -> None: ...

class ScoreChoicesResponse(_message.Message):
    __slots__ = ("model_version", "choices")
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    model_version: str
    choices: _containers.RepeatedCompositeFieldContainer[ChoiceScore]
    def __init__(self, model_version: _Optional[str] = ..., choices: _Optional[_Iterable[_Union[ChoiceScore, _Mapping]]] = ...) -> None: ...

class ChoiceScore(_message.Message):
    __slots__ = ("logprob", "logprob_per_token", "logprob_per_byte", "rank", "greedy", "tokens")
    LOGPROB_FIELD_NUMBER: _ClassVar[int]
    LOGPROB_PER_TOKEN_FIELD_NUMBER: _ClassVar[int]
    LOGPROB_PER_BYTE_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    GREEDY_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    logprob: float
    logprob_per_token: float
    logprob_per_byte: float
    rank: int
    greedy: bool
    tokens: _containers.RepeatedCompositeFieldContainer[_generation_service_pb2.TokenOutput]
    def __init__(self, logprob: _Optional[float] = ..., logprob_per_token: _Optional[float] = ..., logprob_per_byte: _Optional[float] = ..., rank: _Optional[int] = ..., greedy: _Optional[bool] = ..., tokens: _Optional[_Iterable[_Union[_generation_service_pb2.TokenOutput, _Mapping]]] = ...) -> None: ...

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

class EmbedTextRequest(_message.Message):
    __slots__ = ("model", "inputs", "pooling", "normalize", "priority")
    class Pooling(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        POOLING_UNSPECIFIED: _ClassVar[EmbedTextRequest.Pooling]
        POOLING_MEAN: _ClassVar[EmbedTextRequest.Pooling]
        POOLING_LAST: _ClassVar[EmbedTextRequest.Pooling]
        POOLING_FIRST: _ClassVar[EmbedTextRequest.Pooling]
    POOLING_UNSPECIFIED: EmbedTextRequest.Pooling
    POOLING_MEAN: EmbedTextRequest.Pooling
    POOLING_LAST: EmbedTextRequest.Pooling
    POOLING_FIRST: EmbedTextRequest.Pooling
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    POOLING_FIELD_NUMBER: _ClassVar[int]
    NORMALIZE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    model: str
    inputs: _containers.RepeatedCompositeFieldContainer[EmbeddingInput]
    pooling: EmbedTextRequest.Pooling
    normalize: bool
    priority: _priority_pb2.Priority
    def __init__(self, model: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[EmbeddingInput, _Mapping]]] = ..., pooling: _Optional[_Union[EmbedTextRequest.Pooling, str]] = ..., normalize: _Optional[bool] = ..., priority: _Optional[_Union[_priority_pb2.Priority, str]] = ...) -> None: ...

class EmbeddingInput(_message.Message):
    __slots__ = ("text", "tokens")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    text: _generation_service_pb2.TextInput
    tokens: _generation_service_pb2.TokenInput
    def __init__(self, text: _Optional[_Union[_generation_service_pb2.TextInput, _Mapping]] = ..., tokens: _Optional[_Union[_generation_service_pb2.TokenInput, _Mapping]] = ...) -> None: ...

class EmbedTextResponse(_message.Message):
    __slots__ = ("model_version", "embeddings", "pooling")
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    POOLING_FIELD_NUMBER: _ClassVar[int]
    model_version: str
    embeddings: _containers.RepeatedCompositeFieldContainer[Embedding]
    pooling: EmbedTextRequest.Pooling
    def __init__(self, model_version: _Optional[str] = ..., embeddings: _Optional[_Iterable[_Union[Embedding, _Mapping]]] = ..., pooling: _Optional[_Union[EmbedTextRequest.Pooling, str]] = ...) -> None: ...

class Embedding(_message.Message):
    __slots__ = ("values", "tokens")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    tokens: int
    def __init__(self, values: _Optional[_Iterable[float]] = ..., tokens: _Optional[int] = ...) -> None: ...
