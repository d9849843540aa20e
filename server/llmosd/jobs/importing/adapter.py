"""An adapter from elsewhere: the peft library's two files, and the version that it changes.

What serving, training and merging cannot do with it is refused here, by the field that says so.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.table import expected_shapes
from llmosd.architectures.peft_files import PREFIX, peft_config
from llmosd.errors import InvalidModelFile
from llmosd.jobs.importing.hf_tokenizer import hf_chat_template
from llmosd.jobs.importing.json_files import Fields, Object, load_object
from llmosd.jobs.importing.safetensors_reader import SafetensorsFile
from llmosd.jobs.importing.source import Source
from llmosd.jobs.importing.strangers import shown
from llmosd.jobs.importing.weights import Weight
from llmosd.store.files import read_regular
from llmosd.store.folders import MAX_JSON
from llmosd.store.manifest import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CHAT_TEMPLATE,
    CONFIG,
    GENERATION,
    TOKENIZER,
    GenerationDefaults,
)

_MAX_RANK = 65_536
_NAME = re.compile(re.escape(PREFIX) + r"(.+)\.lora_([AB])\.weight")
# What changes the sum W + alpha / r * B A, wherever it is set.
_UNSUPPORTED = (
    "alora_invocation_tokens",
    "alpha_pattern",
    "arrow_config",
    "kasa_config",
    "layer_replication",
    "lora_bias",
    "modules_to_save",
    "monteclora_config",
    "rank_pattern",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_dora",
    "use_qalora",
)
# Ways to begin that leave the base as it is; PiSSA, OLoRA, LoftQ and others take something from it.
_BEGINNINGS = (None, True, False, "gaussian", "eva", "orthogonal")


@contextmanager
def open_adapter(files: Mapping[str, Path], base: Path, memory_bytes: int) -> Iterator[Source]:
    """Read everything but the weights of an adapter to the version in the folder `base`.

    Tokenizer and defaults are the base's, and so is the chat template unless the files have one.
    The weights can be read until the context ends.
    """
    for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        if name not in files:
            raise InvalidModelFile(f"{name} is missing: the peft library writes it")
    config = msgspec.json.decode(read_regular(base, CONFIG, MAX_JSON), type=ModelConfig)
    if config.head != "language":
        raise InvalidModelFile("the base is a classifier, whose head no adapter from elsewhere has")
    generation = read_regular(base, GENERATION, MAX_JSON)
    told = load_object(files[ADAPTER_CONFIG], ADAPTER_CONFIG)
    rank, alpha = _scale(told)
    with SafetensorsFile(files[ADAPTER_WEIGHTS], ADAPTER_WEIGHTS, memory_bytes) as file:
        weights = {name: file.weight(name) for name in file.tensors}
        products = _products(weights, config, rank)
        values = peft_config(config, _targets(products, config), rank=rank, alpha=alpha, dropout=0)
        yield Source(
            config=config,
            weights=weights,
            tokenizer=read_regular(base, TOKENIZER, MAX_JSON).decode(),
            generation=msgspec.json.decode(generation, type=GenerationDefaults),
            chat_template=hf_chat_template(files) or _template(base),
            license="",
            adapter=values,
        )


def _scale(told: Object) -> tuple[int, float]:
    """Rank, and alpha of a scale alpha / rank; raises InvalidModelFile for another kind."""
    fields = Fields(told, ADAPTER_CONFIG)
    kind = fields.text("peft_type")
    if kind != "LORA":
        raise InvalidModelFile(f"{ADAPTER_CONFIG}: peft_type is {shown(kind)}; only LORA is known")
    for name in _UNSUPPORTED:
        if fields.raw(name):
            raise InvalidModelFile(f"{ADAPTER_CONFIG}: {name} is not supported; merge it with peft")
    if fields.text("bias", "none") != "none":
        raise InvalidModelFile(f"{ADAPTER_CONFIG}: bias must be none; merge it with peft")
    if fields.raw("init_lora_weights") not in _BEGINNINGS:
        raise InvalidModelFile(
            f"{ADAPTER_CONFIG}: init_lora_weights changed the base; save it by peft's "
            "save_pretrained(path_initial_model_for_weight_conversion=...)"
        )
    rank, alpha = fields.integer("r"), fields.number("lora_alpha")
    if not 1 <= rank <= _MAX_RANK:
        raise InvalidModelFile(f"{ADAPTER_CONFIG}: r is {rank}; it must be from 1 to {_MAX_RANK}")
    # Rank-stabilized (Kalajdzievski, 2023): alpha / sqrt(rank).
    return rank, alpha * math.sqrt(rank) if fields.flag("use_rslora", default=False) else alpha


def _products(weights: Mapping[str, Weight], config: ModelConfig, rank: int) -> set[str]:
    """The names of the adapted products; raises InvalidModelFile where a weight does not fit."""
    shapes = expected_shapes(config)
    parts: dict[str, set[str]] = defaultdict(set)
    for name, weight in weights.items():
        match = _NAME.fullmatch(name)
        whole = shapes.get(f"{match[1]}.weight", ()) if match else ()
        if match is None or len(whole) != 2:
            raise InvalidModelFile(f"{ADAPTER_WEIGHTS}: {shown(name)} changes nothing of the base")
        shape = (rank, whole[1]) if match[2] == "A" else (whole[0], rank)
        if weight.shape != shape:
            raise InvalidModelFile(
                f"{ADAPTER_WEIGHTS}: weight {shown(name)} has shape {list(weight.shape)}, not "
                f"{list(shape)}: is this its base?"
            )
        parts[match[1]].add(match[2])
    for name, found in parts.items():
        if len(found) != 2:
            raise InvalidModelFile(f"{ADAPTER_WEIGHTS}: half of {shown(name)} is missing")
    if not parts:
        raise InvalidModelFile(f"{ADAPTER_WEIGHTS}: there is no weight in it")
    return set(parts)


def _targets(products: set[str], config: ModelConfig) -> set[str]:
    """Last parts of names, where these say which products are adapted; else whole names."""
    last = {name.rpartition(".")[2] for name in products}
    meant = {
        name.removesuffix(".weight")
        for name, shape in expected_shapes(config).items()
        if len(shape) == 2 and name.removesuffix(".weight").rpartition(".")[2] in last
    }
    return last if meant == products else products


def _template(base: Path) -> str | None:
    try:
        return read_regular(base, CHAT_TEMPLATE, MAX_JSON).decode()
    except FileNotFoundError:
        return None
