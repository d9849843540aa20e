from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LatentVector(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, values: _Optional[_Iterable[float]] = ...) -> None: ...

class LatentDecoding(_message.Message):
    __slots__ = ("max_tokens", "temperature", "seed")
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    max_tokens: int
    temperature: float
    seed: int
    def __init__(self, max_tokens: _Optional[int] = ..., temperature: _Optional[float] = ..., seed: _Optional[int] = ...) -> None: ...

class EncodeTextRequest(_message.Message):
    __slots__ = ("model", "text")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    model: str
    text: str
    def __init__(self, model: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class EncodeTextResponse(_message.Message):
    __slots__ = ("model_version", "mean", "log_variance", "kl")
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    LOG_VARIANCE_FIELD_NUMBER: _ClassVar[int]
    KL_FIELD_NUMBER: _ClassVar[int]
    model_version: str
    mean: LatentVector
    log_variance: _containers.RepeatedScalarFieldContainer[float]
    kl: float
    def __init__(self, model_version: _Optional[str] = ..., mean: _Optional[_Union[LatentVector, _Mapping]] = ..., log_variance: _Optional[_Iterable[float]] = ..., kl: _Optional[float] = ...) -> None: ...

class DecodeLatentsRequest(_message.Message):
    __slots__ = ("model", "latents", "decoding")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    LATENTS_FIELD_NUMBER: _ClassVar[int]
    DECODING_FIELD_NUMBER: _ClassVar[int]
    model: str
    latents: _containers.RepeatedCompositeFieldContainer[LatentVector]
    decoding: LatentDecoding
    def __init__(self, model: _Optional[str] = ..., latents: _Optional[_Iterable[_Union[LatentVector, _Mapping]]] = ..., decoding: _Optional[_Union[LatentDecoding, _Mapping]] = ...) -> None: ...

class DecodeLatentsResponse(_message.Message):
    __slots__ = ("model_version", "texts", "seed")
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    model_version: str
    texts: _containers.RepeatedScalarFieldContainer[str]
    seed: int
    def __init__(self, model_version: _Optional[str] = ..., texts: _Optional[_Iterable[str]] = ..., seed: _Optional[int] = ...) -> None: ...

class SampleTextsRequest(_message.Message):
    __slots__ = ("model", "count", "decoding")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    DECODING_FIELD_NUMBER: _ClassVar[int]
    model: str
    count: int
    decoding: LatentDecoding
    def __init__(self, model: _Optional[str] = ..., count: _Optional[int] = ..., decoding: _Optional[_Union[LatentDecoding, _Mapping]] = ...) -> None: ...

class SampleTextsResponse(_message.Message):
    __slots__ = ("model_version", "texts", "seed")
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    model_version: str
    texts: _containers.RepeatedScalarFieldContainer[str]
    seed: int
    def __init__(self, model_version: _Optional[str] = ..., texts: _Optional[_Iterable[str]] = ..., seed: _Optional[int] = ...) -> None: ...

class InterpolateTextsRequest(_message.Message):
    __slots__ = ("model", "from_text", "to_text", "steps", "path", "decoding")
    class Path(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PATH_UNSPECIFIED: _ClassVar[InterpolateTextsRequest.Path]
        PATH_LINEAR: _ClassVar[InterpolateTextsRequest.Path]
        PATH_SPHERICAL: _ClassVar[InterpolateTextsRequest.Path]
    PATH_UNSPECIFIED: InterpolateTextsRequest.Path
    PATH_LINEAR: InterpolateTextsRequest.Path
    PATH_SPHERICAL: InterpolateTextsRequest.Path
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FROM_TEXT_FIELD_NUMBER: _ClassVar[int]
    TO_TEXT_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    DECODING_FIELD_NUMBER: _ClassVar[int]
    model: str
    from_text: str
    to_text: str
    steps: int
    path: InterpolateTextsRequest.Path
    decoding: LatentDecoding
    def __init__(self, model: _Optional[str] = ..., from_text: _Optional[str] = ..., to_text: _Optional[str] = ..., steps: _Optional[int] = ..., path: _Optional[_Union[InterpolateTextsRequest.Path, str]] = ..., decoding: _Optional[_Union[LatentDecoding, _Mapping]] = ...) -> None: ...

class InterpolateTextsResponse(_message.Message):
    __slots__ = ("model_version", "points", "seed")
    class Point(_message.Message):
        __slots__ = ("share", "latent", "text")
        SHARE_FIELD_NUMBER: _ClassVar[int]
        LATENT_FIELD_NUMBER: _ClassVar[int]
        TEXT_FIELD_NUMBER: _ClassVar[int]
        share: float
        latent: LatentVector
        text: str
        def __init__(self, share: _Optional[float] = ..., latent: _Optional[_Union[LatentVector, _Mapping]] = ..., text: _Optional[str] = ...) -> None: ...
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    POINTS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    model_version: str
    points: _containers.RepeatedCompositeFieldContainer[InterpolateTextsResponse.Point]
    seed: int
    def __init__(self, model_version: _Optional[str] = ..., points: _Optional[_Iterable[_Union[InterpolateTextsResponse.Point, _Mapping]]] = ..., seed: _Optional[int] = ...) -> None: ...

class CompressTextsRequest(_message.Message):
    __slots__ = ("model", "texts", "bits")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    BITS_FIELD_NUMBER: _ClassVar[int]
    model: str
    texts: _containers.RepeatedScalarFieldContainer[str]
    bits: int
    def __init__(self, model: _Optional[str] = ..., texts: _Optional[_Iterable[str]] = ..., bits: _Optional[int] = ...) -> None: ...

class CompressTextsResponse(_message.Message):
    __slots__ = ("model_version", "results", "bits_per_character", "character_error_rate", "kl_bits_per_character")
    class Compressed(_message.Message):
        __slots__ = ("text", "reconstruction", "bits_per_character", "character_error_rate", "kl_bits_per_character")
        TEXT_FIELD_NUMBER: _ClassVar[int]
        RECONSTRUCTION_FIELD_NUMBER: _ClassVar[int]
        BITS_PER_CHARACTER_FIELD_NUMBER: _ClassVar[int]
        CHARACTER_ERROR_RATE_FIELD_NUMBER: _ClassVar[int]
        KL_BITS_PER_CHARACTER_FIELD_NUMBER: _ClassVar[int]
        text: str
        reconstruction: str
        bits_per_character: float
        character_error_rate: float
        kl_bits_per_character: float
        def __init__(self, text: _Optional[str] = ..., reconstruction: _Optional[str] = ..., bits_per_character: _Optional[float] = ..., character_error_rate: _Optional[float] = ..., kl_bits_per_character: _Optional[float] = ...) -> None: ...
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    BITS_PER_CHARACTER_FIELD_NUMBER: _ClassVar[int]
    CHARACTER_ERROR_RATE_FIELD_NUMBER: _ClassVar[int]
    KL_BITS_PER_CHARACTER_FIELD_NUMBER: _ClassVar[int]
    model_version: str
    results: _containers.RepeatedCompositeFieldContainer[CompressTextsResponse.Compressed]
    bits_per_character: float
    character_error_rate: float
    kl_bits_per_character: float
    def __init__(self, model_version: _Optional[str] = ..., results: _Optional[_Iterable[_Union[CompressTextsResponse.Compressed, _Mapping]]] = ..., bits_per_character: _Optional[float] = ..., character_error_rate: _Optional[float] = ..., kl_bits_per_character: _Optional[float] = ...) -> None: ...
