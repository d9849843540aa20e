"""A version as a folder as on the Hugging Face Hub.

What transformers has a class for is written in its words, and adapters as the peft library does.
Everything else, our own families and heads for labels, goes into the same files with the store's
own config.json under "llmos", which only `UploadModel` reads. Which of the two it is is not a
table: the Hub's words are right where our importer reads them back as what they came from.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

from llmosd.errors import InvalidField
from llmosd.jobs.exporting.hf_config import hub_config
from llmosd.jobs.exporting.stored import Stored
from llmosd.jobs.importing.hugging_face import CONV1D
from llmosd.jobs.importing.own import own_config
from llmosd.jobs.importing.weights import Weight, transposed
from llmosd.jobs.importing.writer import write_weights
from llmosd.jobs.messages import ExportSpec
from llmosd.progress import Progress
from llmosd.store.files import copy_durably, write_durably
from llmosd.store.manifest import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CARD,
    CHAT_TEMPLATE,
    GENERATION,
    TOKENIZER,
    Dtype,
    GenerationDefaults,
    encode_json,
)

_STORED: dict[str, Dtype] = {
    "float32": "float32",
    "float16": "float16",
    "bfloat16": "bfloat16",
}


def write_hugging_face(stored: Stored, spec: ExportSpec, progress: Progress) -> None:
    """Fill the folder. Raises InvalidField for a type that an adapter's weights cannot take."""
    output = Path(spec.output)
    hub = hub_config(stored.config, stored.generation)
    _write_text(output, stored, hub)
    if ADAPTER_WEIGHTS in stored.manifest.files:
        if spec.dtype is not None:
            raise InvalidField.of("dtype", "adapters are written as they are kept; leave it out")
        _write_adapter(output, stored)
        return
    config = hub or own_config(stored.config)
    dtype = _STORED.get(spec.dtype or "")
    if hub is not None:
        # What is kept in eight or four bits is written as the float32 it stands for.
        config["dtype"] = dtype or _STORED.get(stored.manifest.dtype, "float32")
    _write_json(output, "config.json", config)
    weights = _as_on_the_hub(stored.weights) if hub is not None else stored.weights
    write_weights(output / "model.safetensors", weights, dtype, progress)


def _write_text(output: Path, stored: Stored, hub: dict[str, Any] | None) -> None:
    """Everything about text: tokenizer, template, defaults, card."""
    write_durably(output, TOKENIZER, stored.tokenizer)
    _write_json(output, "tokenizer_config.json", _tokenizer_config(stored))
    if stored.chat_template is not None:
        write_durably(output, CHAT_TEMPLATE, stored.chat_template.encode())
    _write_json(output, "generation_config.json", generation_config(stored.generation))
    if hub is None:
        # Has what no generation_config.json says: where an answer begins, for one.
        write_durably(output, GENERATION, encode_json(stored.generation))
    if CARD in stored.manifest.files:
        write_durably(output, "README.md", stored.read(CARD))


def _write_adapter(output: Path, stored: Stored) -> None:
    values = json.loads(stored.read(ADAPTER_CONFIG))
    # peft wants a base's name; who loads it passes the base itself.
    values["base_model_name_or_path"] = stored.manifest.adapter_base
    _write_json(output, ADAPTER_CONFIG, values)
    copy_durably(stored.folder / ADAPTER_WEIGHTS, output / ADAPTER_WEIGHTS)


def _tokenizer_config(stored: Stored) -> dict[str, Any]:
    defaults = stored.generation
    values: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": stored.config.context_length,
        "bos_token": defaults.bos_token,
        "eos_token": defaults.eos_token,
        "add_bos_token": defaults.add_bos,
        "clean_up_tokenization_spaces": False,
        "chat_template": stored.chat_template,
    }
    return {name: value for name, value in values.items() if value is not None}


def generation_config(defaults: GenerationDefaults) -> dict[str, Any]:
    """The defaults as transformers' generation_config.json says them."""
    ends: list[int] = defaults.eos_token_ids
    values: dict[str, Any] = {
        "bos_token_id": defaults.bos_token_id,
        "eos_token_id": ends[0] if len(ends) == 1 else ends or None,
    }
    names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
    sampling = {name: getattr(defaults, name) for name in names}
    given = {name: value for name, value in sampling.items() if value is not None}
    if given and given.get("temperature") != 0:
        values |= {"do_sample": True, **given}
    return {name: value for name, value in values.items() if value is not None}


def _as_on_the_hub(weights: dict[str, Weight]) -> dict[str, Weight]:
    """GPT-2's matrices are Conv1D there, [inputs, outputs]."""
    return {
        name: transposed(weight) if CONV1D.fullmatch(name) else weight
        for name, weight in weights.items()
    }


def _write_json(output: Path, name: str, values: object) -> None:
    write_durably(output, name, msgspec.json.format(msgspec.json.encode(values), indent=2) + b"\n")
