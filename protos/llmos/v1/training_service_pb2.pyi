import datetime

from buf.validate import validate_pb2 as _validate_pb2
from google.longrunning import operations_pb2 as _operations_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from llmos.v1 import model_pb2 as _model_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TrainingObjective(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRAINING_OBJECTIVE_UNSPECIFIED: _ClassVar[TrainingObjective]
    TRAINING_OBJECTIVE_LANGUAGE_MODEL: _ClassVar[TrainingObjective]
    TRAINING_OBJECTIVE_MASKED_LANGUAGE_MODEL: _ClassVar[TrainingObjective]
    TRAINING_OBJECTIVE_CLASSIFY: _ClassVar[TrainingObjective]
    TRAINING_OBJECTIVE_REGRESS: _ClassVar[TrainingObjective]
    TRAINING_OBJECTIVE_SFT: _ClassVar[TrainingObjective]
    TRAINING_OBJECTIVE_DPO: _ClassVar[TrainingObjective]
    TRAINING_OBJECTIVE_KTO: _ClassVar[TrainingObjective]
    TRAINING_OBJECTIVE_DISTILL: _ClassVar[TrainingObjective]
    TRAINING_OBJECTIVE_VAE: _ClassVar[TrainingObjective]
    TRAINING_OBJECTIVE_SEQGAN: _ClassVar[TrainingObjective]

class TrainingMethod(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRAINING_METHOD_UNSPECIFIED: _ClassVar[TrainingMethod]
    TRAINING_METHOD_FULL: _ClassVar[TrainingMethod]
    TRAINING_METHOD_LORA: _ClassVar[TrainingMethod]

class TokenizerKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TOKENIZER_KIND_UNSPECIFIED: _ClassVar[TokenizerKind]
    TOKENIZER_KIND_CHARACTER: _ClassVar[TokenizerKind]
    TOKENIZER_KIND_WORD: _ClassVar[TokenizerKind]
    TOKENIZER_KIND_BPE: _ClassVar[TokenizerKind]
TRAINING_OBJECTIVE_UNSPECIFIED: TrainingObjective
TRAINING_OBJECTIVE_LANGUAGE_MODEL: TrainingObjective
TRAINING_OBJECTIVE_MASKED_LANGUAGE_MODEL: TrainingObjective
TRAINING_OBJECTIVE_CLASSIFY: TrainingObjective
TRAINING_OBJECTIVE_REGRESS: TrainingObjective
TRAINING_OBJECTIVE_SFT: TrainingObjective
TRAINING_OBJECTIVE_DPO: TrainingObjective
TRAINING_OBJECTIVE_KTO: TrainingObjective
TRAINING_OBJECTIVE_DISTILL: TrainingObjective
TRAINING_OBJECTIVE_VAE: TrainingObjective
TRAINING_OBJECTIVE_SEQGAN: TrainingObjective
TRAINING_METHOD_UNSPECIFIED: TrainingMethod
TRAINING_METHOD_FULL: TrainingMethod
TRAINING_METHOD_LORA: TrainingMethod
TOKENIZER_KIND_UNSPECIFIED: TokenizerKind
TOKENIZER_KIND_CHARACTER: TokenizerKind
TOKENIZER_KIND_WORD: TokenizerKind
TOKENIZER_KIND_BPE: TokenizerKind

class TrainModelRequest(_message.Message):
    __slots__ = ("model_id", "objective", "method", "family", "shape", "init_from", "dataset", "validation_dataset", "tokenizer_from", "tokenizer_kind", "vocabulary_size", "teacher", "parameters", "optimizer", "schedule", "lora", "early_stopping", "samples", "license", "request_id", "latent", "adversarial", "privacy")
    class ShapeEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    MODEL_ID_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    INIT_FROM_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_DATASET_FIELD_NUMBER: _ClassVar[int]
    TOKENIZER_FROM_FIELD_NUMBER: _ClassVar[int]
    TOKENIZER_KIND_FIELD_NUMBER: _ClassVar[int]
    VOCABULARY_SIZE_FIELD_NUMBER: _ClassVar[int]
    TEACHER_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    OPTIMIZER_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    LORA_FIELD_NUMBER: _ClassVar[int]
    EARLY_STOPPING_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    LICENSE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    LATENT_FIELD_NUMBER: _ClassVar[int]
    ADVERSARIAL_FIELD_NUMBER: _ClassVar[int]
    PRIVACY_FIELD_NUMBER: _ClassVar[int]
    model_id: str
    objective: TrainingObjective
    method: TrainingMethod
    family: str
    shape: _containers.ScalarMap[str, float]
    init_from: str
    dataset: str
    validation_dataset: str
    tokenizer_from: str
    tokenizer_kind: TokenizerKind
    vocabulary_size: int
    teacher: str
    parameters: TrainingParameters
    optimizer: TrainingOptimizer
    schedule: TrainingSchedule
    lora: TrainingLora
    early_stopping: TrainingStopping
    samples: _containers.RepeatedScalarFieldContainer[str]
    license: str
    request_id: str
    latent: TrainingLatent
    adversarial: TrainingAdversarial
    privacy: TrainingPrivacy
    def __init__(self, model_id: _Optional[str] = ..., objective: _Optional[_Union[TrainingObjective, str]] = ..., method: _Optional[_Union[TrainingMethod, str]] = ..., family: _Optional[str] = ..., shape: _Optional[_Mapping[str, float]] = ..., init_from: _Optional[str] = ..., dataset: _Optional[str] = ..., validation_dataset: _Optional[str] = ..., tokenizer_from: _Optional[str] = ..., tokenizer_kind: _Optional[_Union[TokenizerKind, str]] = ..., vocabulary_size: _Optional[int] = ..., teacher: _Optional[str] = ..., parameters: _Optional[_Union[TrainingParameters, _Mapping]] = ..., optimizer: _Optional[_Union[TrainingOptimizer, _Mapping]] = ..., schedule: _Optional[_Union[TrainingSchedule, _Mapping]] = ..., lora: _Optional[_Union[TrainingLora, _Mapping]] = ..., early_stopping: _Optional[_Union[TrainingStopping, _Mapping]] = ..., samples: _Optional[_Iterable[str]] = ..., license: _Optional[str] = ..., request_id: _Optional[str] = ..., latent: _Optional[_Union[TrainingLatent, _Mapping]] = ..., adversarial: _Optional[_Union[TrainingAdversarial, _Mapping]] = ..., privacy: _Optional[_Union[TrainingPrivacy, _Mapping]] = ...) -> None: ...

class TrainingParameters(_message.Message):
    __slots__ = ("steps", "epochs", "sequence_length", "batch_size", "accumulation", "packing", "clip_norm", "dropout", "label_smoothing", "adversarial_epsilon", "mask_share", "beta", "distill_temperature", "distill_share", "precision", "gradient_checkpointing", "seed", "threads", "log_every", "evaluate_every", "evaluate_rows", "checkpoint_every", "keep_checkpoints", "sample_tokens", "answer_rows", "sampling")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    EPOCHS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_LENGTH_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    ACCUMULATION_FIELD_NUMBER: _ClassVar[int]
    PACKING_FIELD_NUMBER: _ClassVar[int]
    CLIP_NORM_FIELD_NUMBER: _ClassVar[int]
    DROPOUT_FIELD_NUMBER: _ClassVar[int]
    LABEL_SMOOTHING_FIELD_NUMBER: _ClassVar[int]
    ADVERSARIAL_EPSILON_FIELD_NUMBER: _ClassVar[int]
    MASK_SHARE_FIELD_NUMBER: _ClassVar[int]
    BETA_FIELD_NUMBER: _ClassVar[int]
    DISTILL_TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    DISTILL_SHARE_FIELD_NUMBER: _ClassVar[int]
    PRECISION_FIELD_NUMBER: _ClassVar[int]
    GRADIENT_CHECKPOINTING_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    THREADS_FIELD_NUMBER: _ClassVar[int]
    LOG_EVERY_FIELD_NUMBER: _ClassVar[int]
    EVALUATE_EVERY_FIELD_NUMBER: _ClassVar[int]
    EVALUATE_ROWS_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_EVERY_FIELD_NUMBER: _ClassVar[int]
    KEEP_CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ANSWER_ROWS_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    steps: int
    epochs: float
    sequence_length: int
    batch_size: int
    accumulation: int
    packing: bool
    clip_norm: float
    dropout: float
    label_smoothing: float
    adversarial_epsilon: float
    mask_share: float
    beta: float
    distill_temperature: float
    distill_share: float
    precision: str
    gradient_checkpointing: bool
    seed: int
    threads: int
    log_every: int
    evaluate_every: int
    evaluate_rows: int
    checkpoint_every: int
    keep_checkpoints: int
    sample_tokens: int
    answer_rows: int
    sampling: str
    def __init__(self, steps: _Optional[int] = ..., epochs: _Optional[float] = ..., sequence_length: _Optional[int] = ..., batch_size: _Optional[int] = ..., accumulation: _Optional[int] = ..., packing: _Optional[bool] = ..., clip_norm: _Optional[float] = ..., dropout: _Optional[float] = ..., label_smoothing: _Optional[float] = ..., adversarial_epsilon: _Optional[float] = ..., mask_share: _Optional[float] = ..., beta: _Optional[float] = ..., distill_temperature: _Optional[float] = ..., distill_share: _Optional[float] = ..., precision: _Optional[str] = ..., gradient_checkpointing: _Optional[bool] = ..., seed: _Optional[int] = ..., threads: _Optional[int] = ..., log_every: _Optional[int] = ..., evaluate_every: _Optional[int] = ..., evaluate_rows: _Optional[int] = ..., checkpoint_every: _Optional[int] = ..., keep_checkpoints: _Optional[int] = ..., sample_tokens: _Optional[int] = ..., answer_rows: _Optional[int] = ..., sampling: _Optional[str] = ...) -> None: ...

class TrainingOptimizer(_message.Message):
    __slots__ = ("name", "learning_rate", "beta1", "beta2", "epsilon", "momentum", "alpha", "weight_decay", "l2")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LEARNING_RATE_FIELD_NUMBER: _ClassVar[int]
    BETA1_FIELD_NUMBER: _ClassVar[int]
    BETA2_FIELD_NUMBER: _ClassVar[int]
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    MOMENTUM_FIELD_NUMBER: _ClassVar[int]
    ALPHA_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_DECAY_FIELD_NUMBER: _ClassVar[int]
    L2_FIELD_NUMBER: _ClassVar[int]
    name: str
    learning_rate: float
    beta1: float
    beta2: float
    epsilon: float
    momentum: float
    alpha: float
    weight_decay: float
    l2: float
    def __init__(self, name: _Optional[str] = ..., learning_rate: _Optional[float] = ..., beta1: _Optional[float] = ..., beta2: _Optional[float] = ..., epsilon: _Optional[float] = ..., momentum: _Optional[float] = ..., alpha: _Optional[float] = ..., weight_decay: _Optional[float] = ..., l2: _Optional[float] = ...) -> None: ...

class TrainingSchedule(_message.Message):
    __slots__ = ("name", "warmup_steps", "minimum", "decay_share")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WARMUP_STEPS_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_FIELD_NUMBER: _ClassVar[int]
    DECAY_SHARE_FIELD_NUMBER: _ClassVar[int]
    name: str
    warmup_steps: int
    minimum: float
    decay_share: float
    def __init__(self, name: _Optional[str] = ..., warmup_steps: _Optional[int] = ..., minimum: _Optional[float] = ..., decay_share: _Optional[float] = ...) -> None: ...

class TrainingLora(_message.Message):
    __slots__ = ("rank", "alpha", "dropout", "targets", "merge")
    RANK_FIELD_NUMBER: _ClassVar[int]
    ALPHA_FIELD_NUMBER: _ClassVar[int]
    DROPOUT_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    MERGE_FIELD_NUMBER: _ClassVar[int]
    rank: int
    alpha: float
    dropout: float
    targets: _containers.RepeatedScalarFieldContainer[str]
    merge: bool
    def __init__(self, rank: _Optional[int] = ..., alpha: _Optional[float] = ..., dropout: _Optional[float] = ..., targets: _Optional[_Iterable[str]] = ..., merge: _Optional[bool] = ...) -> None: ...

class TrainingAdversarial(_message.Message):
    __slots__ = ("likelihood_steps", "discriminator_steps", "rollouts", "round_discriminator_steps", "discriminator", "discriminator_size", "discriminator_dropout", "generator_rate", "discriminator_rate", "most_rise")
    LIKELIHOOD_STEPS_FIELD_NUMBER: _ClassVar[int]
    DISCRIMINATOR_STEPS_FIELD_NUMBER: _ClassVar[int]
    ROLLOUTS_FIELD_NUMBER: _ClassVar[int]
    ROUND_DISCRIMINATOR_STEPS_FIELD_NUMBER: _ClassVar[int]
    DISCRIMINATOR_FIELD_NUMBER: _ClassVar[int]
    DISCRIMINATOR_SIZE_FIELD_NUMBER: _ClassVar[int]
    DISCRIMINATOR_DROPOUT_FIELD_NUMBER: _ClassVar[int]
    GENERATOR_RATE_FIELD_NUMBER: _ClassVar[int]
    DISCRIMINATOR_RATE_FIELD_NUMBER: _ClassVar[int]
    MOST_RISE_FIELD_NUMBER: _ClassVar[int]
    likelihood_steps: int
    discriminator_steps: int
    rollouts: int
    round_discriminator_steps: int
    discriminator: str
    discriminator_size: int
    discriminator_dropout: float
    generator_rate: float
    discriminator_rate: float
    most_rise: float
    def __init__(self, likelihood_steps: _Optional[int] = ..., discriminator_steps: _Optional[int] = ..., rollouts: _Optional[int] = ..., round_discriminator_steps: _Optional[int] = ..., discriminator: _Optional[str] = ..., discriminator_size: _Optional[int] = ..., discriminator_dropout: _Optional[float] = ..., generator_rate: _Optional[float] = ..., discriminator_rate: _Optional[float] = ..., most_rise: _Optional[float] = ...) -> None: ...

class TrainingPrivacy(_message.Message):
    __slots__ = ("noise_multiplier", "max_grad_norm", "delta")
    NOISE_MULTIPLIER_FIELD_NUMBER: _ClassVar[int]
    MAX_GRAD_NORM_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    noise_multiplier: float
    max_grad_norm: float
    delta: float
    def __init__(self, noise_multiplier: _Optional[float] = ..., max_grad_norm: _Optional[float] = ..., delta: _Optional[float] = ...) -> None: ...

class TrainingLatent(_message.Message):
    __slots__ = ("kl_weight", "kl_schedule", "kl_warmup_steps", "kl_cycles", "free_bits", "word_dropout", "importance_samples")
    KL_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    KL_SCHEDULE_FIELD_NUMBER: _ClassVar[int]
    KL_WARMUP_STEPS_FIELD_NUMBER: _ClassVar[int]
    KL_CYCLES_FIELD_NUMBER: _ClassVar[int]
    FREE_BITS_FIELD_NUMBER: _ClassVar[int]
    WORD_DROPOUT_FIELD_NUMBER: _ClassVar[int]
    IMPORTANCE_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    kl_weight: float
    kl_schedule: str
    kl_warmup_steps: int
    kl_cycles: int
    free_bits: float
    word_dropout: float
    importance_samples: int
    def __init__(self, kl_weight: _Optional[float] = ..., kl_schedule: _Optional[str] = ..., kl_warmup_steps: _Optional[int] = ..., kl_cycles: _Optional[int] = ..., free_bits: _Optional[float] = ..., word_dropout: _Optional[float] = ..., importance_samples: _Optional[int] = ...) -> None: ...

class TrainingStopping(_message.Message):
    __slots__ = ("metric", "patience", "min_delta", "maximize")
    METRIC_FIELD_NUMBER: _ClassVar[int]
    PATIENCE_FIELD_NUMBER: _ClassVar[int]
    MIN_DELTA_FIELD_NUMBER: _ClassVar[int]
    MAXIMIZE_FIELD_NUMBER: _ClassVar[int]
    metric: str
    patience: int
    min_delta: float
    maximize: bool
    def __init__(self, metric: _Optional[str] = ..., patience: _Optional[int] = ..., min_delta: _Optional[float] = ..., maximize: _Optional[bool] = ...) -> None: ...

class TrainModelResponse(_message.Message):
    __slots__ = ("version", "steps", "metrics", "ended_by")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    ENDED_BY_FIELD_NUMBER: _ClassVar[int]
    version: _model_pb2.ModelVersion
    steps: int
    metrics: _containers.ScalarMap[str, float]
    ended_by: str
    def __init__(self, version: _Optional[_Union[_model_pb2.ModelVersion, _Mapping]] = ..., steps: _Optional[int] = ..., metrics: _Optional[_Mapping[str, float]] = ..., ended_by: _Optional[str] = ...) -> None: ...

class TrainingEstimate(_message.Message):
    __slots__ = ("parameter_count", "trainable_parameter_count", "memory_bytes", "disk_bytes", "steps", "duration")
    PARAMETER_COUNT_FIELD_NUMBER: _ClassVar[int]
    TRAINABLE_PARAMETER_COUNT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_BYTES_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    parameter_count: int
    trainable_parameter_count: int
    memory_bytes: int
    disk_bytes: int
    steps: int
    duration: _duration_pb2.Duration
    def __init__(self, parameter_count: _Optional[int] = ..., trainable_parameter_count: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., disk_bytes: _Optional[int] = ..., steps: _Optional[int] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class SaveCheckpointRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class SaveCheckpointResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListCheckpointsRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListCheckpointsResponse(_message.Message):
    __slots__ = ("checkpoints",)
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    checkpoints: _containers.RepeatedCompositeFieldContainer[Checkpoint]
    def __init__(self, checkpoints: _Optional[_Iterable[_Union[Checkpoint, _Mapping]]] = ...) -> None: ...

class Checkpoint(_message.Message):
    __slots__ = ("step", "create_time", "byte_size")
    STEP_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    BYTE_SIZE_FIELD_NUMBER: _ClassVar[int]
    step: int
    create_time: _timestamp_pb2.Timestamp
    byte_size: int
    def __init__(self, step: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., byte_size: _Optional[int] = ...) -> None: ...
