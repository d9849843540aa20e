"""A folder as on the Hugging Face Hub as a Source: config.json, tokenizer.json, safetensors."""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.table import expected_shapes
from llmosd.errors import InvalidModelFile
from llmosd.jobs.importing.bounds import check_memory
from llmosd.jobs.importing.hf_config import hf_config
from llmosd.jobs.importing.hf_tokenizer import hf_chat_template, hf_generation, hf_tokenizer
from llmosd.jobs.importing.json_files import load_object
from llmosd.jobs.importing.own import is_own, read_own_config, read_own_generation
from llmosd.jobs.importing.safetensors_reader import SafetensorsFile
from llmosd.jobs.importing.source import Source
from llmosd.jobs.importing.strangers import shown
from llmosd.jobs.importing.weights import Weight, transposed

_INDEX, _SINGLE = "model.safetensors.index.json", "model.safetensors"

# Tensors that hold nothing a config does not say: masks and frequencies that old checkpoints keep.
_REDUNDANT = re.compile(r"(.*\.)?(rotary_emb\.inv_freq|attn\.(bias|masked_bias))")

# Hugging Face keeps these of GPT-2 as Conv1D, [inputs, outputs].
CONV1D = re.compile(
    r"transformer\.h\.\d+\.(attn\.c_attn|attn\.c_proj|mlp\.c_fc|mlp\.c_proj)\.weight"
)


@contextmanager
def open_hugging_face(files: Mapping[str, Path], memory_bytes: int) -> Iterator[Source]:
    """Read everything but the weights, which can be read until the context ends."""
    if "config.json" not in files:
        raise InvalidModelFile("config.json is missing")
    raw = load_object(files["config.json"], "config.json")
    own = is_own(raw)
    config = read_own_config(raw) if own else hf_config(raw)
    check_memory(config, memory_bytes)
    tokenizer = hf_tokenizer(files, config.vocab_size)
    generation = (
        read_own_generation(files, tokenizer, config.vocab_size)
        if own
        else hf_generation(files, raw, tokenizer)
    )
    with ExitStack() as stack:
        opened = [
            stack.enter_context(SafetensorsFile(files[name], name, memory_bytes))
            for name in _weight_files(files)
        ]
        yield Source(
            config=config,
            weights=_weights(opened, config, own=own),
            tokenizer=tokenizer.to_str(),
            generation=generation,
            chat_template=hf_chat_template(files),
            license="",
        )


def _weight_files(files: Mapping[str, Path]) -> list[str]:
    """The files that the index names, or the single one, or whatever there is."""
    if _INDEX in files:
        places = load_object(files[_INDEX], _INDEX).get("weight_map")
        if not isinstance(places, dict) or not all(isinstance(n, str) for n in places.values()):
            raise InvalidModelFile(f"{_INDEX}: weight_map is not a map of names")
        for name in sorted(set(places.values())):
            if name not in files or not name.endswith(".safetensors"):
                raise InvalidModelFile(f"{_INDEX}: {shown(name)} is not among the files")
        return sorted(set(places.values()))
    if _SINGLE in files:
        return [_SINGLE]
    names = sorted(name for name in files if name.endswith(".safetensors"))
    if not names:
        raise InvalidModelFile("there is no .safetensors file")
    return names


def _weights(opened: list[SafetensorsFile], config: ModelConfig, *, own: bool) -> dict[str, Weight]:
    """The weights that `config` expects; raises InvalidModelFile for any other set of them."""
    on_hub = config.architecture == "gpt2" and not own
    places: dict[str, tuple[SafetensorsFile, str]] = {}
    for file in opened:
        for stored in file.tensors:
            if stored in places:
                raise InvalidModelFile(f"{file.name}: tensor {shown(stored)} is in two files")
            places[stored] = (file, stored)
    if on_hub and not any(n.startswith("transformer.") for n in places):
        # The Hub's gpt2 was saved without its head, and so without the prefix.
        places = {
            n if n.startswith("lm_head.") else f"transformer.{n}": p for n, p in places.items()
        }
    weights: dict[str, Weight] = {}
    for name, shape in expected_shapes(config).items():
        if name not in places:
            raise InvalidModelFile(f"{opened[0].name}: weight {name} is missing")
        file, stored = places.pop(name)
        weight = file.weight(stored)
        if on_hub and CONV1D.fullmatch(name) and len(weight.shape) == 2:
            weight = transposed(weight)
        if weight.shape != shape:
            raise InvalidModelFile(
                f"{file.name}: weight {name} has shape {list(weight.shape)}, not {list(shape)}"
            )
        weights[name] = weight
    _check_rest(places, config)
    return weights


def _check_rest(places: Mapping[str, tuple[SafetensorsFile, str]], config: ModelConfig) -> None:
    for name, (file, _) in places.items():
        tied = name == "lm_head.weight" and config.tie_embeddings
        if not tied and not _REDUNDANT.fullmatch(name):
            raise InvalidModelFile(
                f"{file.name}: {shown(name)} is no weight of a {config.family} model"
            )
