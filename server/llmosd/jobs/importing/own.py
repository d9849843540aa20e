"""A folder with the store's own config.json: what transformers has no class for.

    config.json     {"model_type": "llmos", "llmos_format": 1, "llmos": a ModelConfig}
    generation.json GenerationDefaults

Tokenizer, template and weights are where the Hub has them. It is what `exporting.hugging_face`
writes; but it comes from outside, so everything in it is checked as a stranger's.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from tokenizers import Tokenizer

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.table import families, family_of
from llmosd.errors import InvalidModelFile
from llmosd.jobs.importing.bounds import check_config
from llmosd.jobs.importing.hf_tokenizer import SAMPLING
from llmosd.jobs.importing.json_files import MAX_JSON, Object, read_limited
from llmosd.jobs.importing.strangers import shown
from llmosd.store.manifest import GENERATION, GenerationDefaults

MODEL_TYPE, FORMAT = "llmos", 1
_HEADS = ("language", "classify", "regress")
_MOST_LABELS, _LONGEST_LABEL = 65_536, 256


def own_config(config: ModelConfig) -> dict[str, Any]:
    """config.json's values."""
    return {
        "model_type": MODEL_TYPE,
        "llmos_format": FORMAT,
        "llmos": msgspec.to_builtins(config),
    }


def is_own(values: Object) -> bool:
    """Whether a config.json is of this kind."""
    return values.get("model_type") == MODEL_TYPE


def read_own_config(values: Object) -> ModelConfig:
    """Read config.json; raises InvalidModelFile naming the field that is missing or wrong."""
    if values.get("llmos_format") != FORMAT:
        raise InvalidModelFile(
            f"config.json: llmos_format is {values.get('llmos_format')!r:.32}; this daemon knows "
            f"{FORMAT}"
        )
    try:
        config = msgspec.convert(values.get("llmos"), type=ModelConfig)
    except msgspec.ValidationError as error:
        raise InvalidModelFile(f"config.json: llmos: {shown(str(error))}") from None
    if config.architecture not in families():
        raise InvalidModelFile(
            f"config.json: llmos: architecture {shown(config.architecture)} is not one of "
            f"{', '.join(families())}"
        )
    _check_own(config)
    return check_config(config)


def _check_own(config: ModelConfig) -> None:
    """The fields that no file of others has."""
    ranges = {
        "encoder_layers": (config.encoder_layers, 0, 1024),
        "latent_size": (config.latent_size, 0, 1 << 17),
        "start_id": (config.start_id, -1, config.vocab_size - 1),
        "labels": (len(config.labels), 0, _MOST_LABELS),
    }
    for field, (value, least, most) in ranges.items():
        if not least <= value <= most:
            raise InvalidModelFile(
                f"config.json: llmos: {field} is {value}; it must be from {least} to {most}"
            )
    if config.head not in _HEADS:
        raise InvalidModelFile(f"config.json: llmos: head is not one of {', '.join(_HEADS)}")
    if (config.head == "classify") != bool(config.labels):
        raise InvalidModelFile("config.json: llmos: labels go with the head classify alone")
    if any(len(label) > _LONGEST_LABEL for label in config.labels):
        raise InvalidModelFile(
            f"config.json: llmos: a label has more than {_LONGEST_LABEL} letters"
        )
    if family_of(config.architecture).starts and config.start_id < 0:
        raise InvalidModelFile("config.json: llmos: start_id is missing: it ends the prompts")


def read_own_generation(
    files: Mapping[str, Path], tokenizer: Tokenizer, vocab_size: int
) -> GenerationDefaults:
    """Read generation.json; raises InvalidModelFile for a token that is not in the vocabulary."""
    if GENERATION not in files:
        raise InvalidModelFile(f"{GENERATION} is missing")
    data = read_limited(files[GENERATION], GENERATION, MAX_JSON)
    try:
        found = msgspec.json.decode(data, type=GenerationDefaults)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidModelFile(f"{GENERATION}: {shown(str(error))}") from None
    ids = [found.bos_token_id, found.start_token_id, *found.eos_token_ids]
    for index in ids:
        if index is not None and not 0 <= index < vocab_size:
            raise InvalidModelFile(f"{GENERATION}: token {index} is not in the vocabulary")
    for text in (found.bos_token, found.eos_token):
        if text is not None and tokenizer.token_to_id(text) is None:
            raise InvalidModelFile(f"{GENERATION}: {shown(text)} is not in the vocabulary")
    _check_sampling(found)
    return found


def _check_sampling(found: GenerationDefaults) -> None:
    for name, (least, most) in SAMPLING.items():
        value = getattr(found, name)
        if value is not None and not least <= value <= most:
            raise InvalidModelFile(
                f"{GENERATION}: {name} is {value}; it must be from {least} to {most}"
            )
