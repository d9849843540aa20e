from buf.validate import validate_pb2 as _validate_pb2
from llmos.v1 import chat_pb2 as _chat_pb2
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

class ExplainGenerationRequest(_message.Message):
    __slots__ = ("model", "text", "chat", "tokens", "answer_text", "answer_tokens", "max_tokens", "target", "baseline", "top", "max_steps")
    class Baseline(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        BASELINE_UNSPECIFIED: _ClassVar[ExplainGenerationRequest.Baseline]
        BASELINE_MEAN: _ClassVar[ExplainGenerationRequest.Baseline]
        BASELINE_ZERO: _ClassVar[ExplainGenerationRequest.Baseline]
    BASELINE_UNSPECIFIED: ExplainGenerationRequest.Baseline
    BASELINE_MEAN: ExplainGenerationRequest.Baseline
    BASELINE_ZERO: ExplainGenerationRequest.Baseline
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CHAT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    ANSWER_TEXT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    BASELINE_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    MAX_STEPS_FIELD_NUMBER: _ClassVar[int]
    model: str
    text: _generation_service_pb2.TextInput
    chat: _chat_pb2.ChatInput
    tokens: _generation_service_pb2.TokenInput
    answer_text: _generation_service_pb2.TextInput
    answer_tokens: _generation_service_pb2.TokenInput
    max_tokens: int
    target: int
    baseline: ExplainGenerationRequest.Baseline
    top: int
    max_steps: int
    def __init__(self, model: _Optional[str] = ..., text: _Optional[_Union[_generation_service_pb2.TextInput, _Mapping]] = ..., chat: _Optional[_Union[_chat_pb2.ChatInput, _Mapping]] = ..., tokens: _Optional[_Union[_generation_service_pb2.TokenInput, _Mapping]] = ..., answer_text: _Optional[_Union[_generation_service_pb2.TextInput, _Mapping]] = ..., answer_tokens: _Optional[_Union[_generation_service_pb2.TokenInput, _Mapping]] = ..., max_tokens: _Optional[int] = ..., target: _Optional[int] = ..., baseline: _Optional[_Union[ExplainGenerationRequest.Baseline, str]] = ..., top: _Optional[int] = ..., max_steps: _Optional[int] = ...) -> None: ...

class ExplainGenerationResponse(_message.Message):
    __slots__ = ("model_version", "prompt", "answer", "integration", "lineage")
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    INTEGRATION_FIELD_NUMBER: _ClassVar[int]
    LINEAGE_FIELD_NUMBER: _ClassVar[int]
    model_version: str
    prompt: _containers.RepeatedCompositeFieldContainer[TokenAttribution]
    answer: _containers.RepeatedCompositeFieldContainer[_generation_service_pb2.TokenOutput]
    integration: Integration
    lineage: _containers.RepeatedCompositeFieldContainer[Ancestor]
    def __init__(self, model_version: _Optional[str] = ..., prompt: _Optional[_Iterable[_Union[TokenAttribution, _Mapping]]] = ..., answer: _Optional[_Iterable[_Union[_generation_service_pb2.TokenOutput, _Mapping]]] = ..., integration: _Optional[_Union[Integration, _Mapping]] = ..., lineage: _Optional[_Iterable[_Union[Ancestor, _Mapping]]] = ...) -> None: ...

class TokenAttribution(_message.Message):
    __slots__ = ("id", "bytes", "attribution")
    ID_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTION_FIELD_NUMBER: _ClassVar[int]
    id: int
    bytes: bytes
    attribution: float
    def __init__(self, id: _Optional[int] = ..., bytes: _Optional[bytes] = ..., attribution: _Optional[float] = ...) -> None: ...

class Integration(_message.Message):
    __slots__ = ("output", "baseline_output", "error", "relative_error", "steps", "converged")
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    BASELINE_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RELATIVE_ERROR_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    CONVERGED_FIELD_NUMBER: _ClassVar[int]
    output: float
    baseline_output: float
    error: float
    relative_error: float
    steps: int
    converged: bool
    def __init__(self, output: _Optional[float] = ..., baseline_output: _Optional[float] = ..., error: _Optional[float] = ..., relative_error: _Optional[float] = ..., steps: _Optional[int] = ..., converged: _Optional[bool] = ...) -> None: ...

class Ancestor(_message.Message):
    __slots__ = ("version", "digest", "license", "source", "objective", "method", "dataset", "dataset_digest", "base", "adapter")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    LICENSE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    DATASET_DIGEST_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    version: str
    digest: str
    license: str
    source: str
    objective: str
    method: str
    dataset: str
    dataset_digest: str
    base: str
    adapter: bool
    def __init__(self, version: _Optional[str] = ..., digest: _Optional[str] = ..., license: _Optional[str] = ..., source: _Optional[str] = ..., objective: _Optional[str] = ..., method: _Optional[str] = ..., dataset: _Optional[str] = ..., dataset_digest: _Optional[str] = ..., base: _Optional[str] = ..., adapter: _Optional[bool] = ...) -> None: ...
