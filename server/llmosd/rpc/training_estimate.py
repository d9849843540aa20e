"""What a training job would take, from its spec and the files it names; nothing is computed."""

from pathlib import Path
from typing import NamedTuple

import msgspec

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.table import family_of, parameter_count
from llmosd.jobs.specs import TrainSpec
from llmosd.jobs.training.estimate import adapter_parameters, estimate
from llmosd.jobs.training.shape import fresh_config
from llmosd.store.datasets import DatasetReader
from llmosd.store.files import read_regular
from llmosd.store.manifest import CONFIG

_LARGEST_CONFIG = 1 << 20
# Operations per second of a processor in training: measured 45e9 on AVX2, products alone; a guess.
_SPEED = 3e10
# What a duration can hold on the wire: ten thousand years.
_LONGEST = 315_576_000_000.0
# Bytes of text per token: byte pairs of English have about four, characters one.
_BYTES_PER_TOKEN = {"character": 1.0, "word": 5.0, "bpe": 3.5}
# Of rows.jsonl that is text: the rest is names and quotation marks.
_TEXT_SHARE = 0.9


class TrainingEstimate(NamedTuple):
    """As llmos.v1.TrainingEstimate; seconds are a guess."""

    parameters: int
    trained: int
    memory_bytes: int
    disk_bytes: int
    steps: int
    seconds: float


def training_estimate(spec: TrainSpec) -> TrainingEstimate:
    """What the run would take.

    Raises:
        InvalidField: sizes that do not fit together.
    """
    config = _config(spec)
    teacher = _read(spec.teacher) if spec.teacher else None
    needed = estimate(spec, config, teacher)
    whole = parameter_count(config)
    trained = adapter_parameters(config, spec) if spec.method == "lora" else whole
    counted = family_of(config.architecture).closed_form
    steps = 1 if counted else spec.steps or _steps(spec)
    # A checkpoint holds what is trained and two numbers of the optimizer for each.
    checkpoints = (spec.keep_checkpoints + 2) * 12 * trained
    result = 4 * (trained if spec.method == "lora" and not spec.lora.merge else whole)
    return TrainingEstimate(
        whole,
        trained,
        needed.total,
        checkpoints + result,
        steps,
        min(needed.seconds(steps, _SPEED * max(1, spec.threads)), _LONGEST),
    )


def _config(spec: TrainSpec) -> ModelConfig:
    if spec.init_from:
        return _read(spec.init_from)
    words = _read(spec.tokenizer).vocab_size if spec.tokenizer else spec.vocabulary_size
    return fresh_config(spec, words)


def _read(folder: str) -> ModelConfig:
    data = read_regular(Path(folder), CONFIG, _LARGEST_CONFIG)
    return msgspec.json.decode(data, type=ModelConfig)


def _steps(spec: TrainSpec) -> int:
    """So many times through the data, by the bytes of its rows."""
    with DatasetReader(Path(spec.dataset)) as reader:
        share = reader.manifest.splits.get("train", 0) / max(1, len(reader))
        size = reader.manifest.files["rows.jsonl"].bytes * share * _TEXT_SHARE
    kind = "bpe" if spec.init_from or spec.tokenizer else spec.tokenizer_kind
    tokens = size / _BYTES_PER_TOKEN[kind]
    return max(1, round(spec.epochs * tokens / (spec.batch_size * spec.sequence_length)))
