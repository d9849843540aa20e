"""A version as one GGUF file, as llama.cpp's converter would write it.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, version 3. What was written is
read once more by our own importer: a network that comes back as another one has no words in GGUF,
and is refused rather than exported wrong.
"""

from pathlib import Path

import numpy as np

from llmosd.architectures.config import ModelConfig
from llmosd.errors import InvalidField, InvalidModelFile
from llmosd.jobs.exporting.gguf_file import GgufWriter, Tensor, tensor_of
from llmosd.jobs.exporting.gguf_metadata import architecture_of, metadata
from llmosd.jobs.exporting.gguf_vocabulary import vocabulary
from llmosd.jobs.exporting.stored import Stored
from llmosd.jobs.importing.gguf_config import gguf_config, llama3_factors
from llmosd.jobs.importing.gguf_names import ROPE_FACTORS, gguf_name
from llmosd.jobs.importing.gguf_reader import GgufFile
from llmosd.jobs.importing.weights import Weight, transformed
from llmosd.jobs.messages import ExportSpec
from llmosd.progress import Progress
from llmosd.store.manifest import ADAPTER_WEIGHTS

_NO_WORDS = "GGUF has no words for this {what}; export it with the format HUGGING_FACE"


def write_gguf(stored: Stored, spec: ExportSpec, progress: Progress) -> None:
    """Write NAME.gguf into the folder. Raises InvalidField, InsufficientDisk, DataCorrupt."""
    if ADAPTER_WEIGHTS in stored.manifest.files:
        raise InvalidField.of("format", _NO_WORDS.format(what="kind of version, an adapter"))
    config = stored.config
    architecture = architecture_of(config)
    if architecture is None:
        raise InvalidField.of("format", _NO_WORDS.format(what=f"network, a {config.architecture}"))
    values = metadata(config, architecture, spec) | vocabulary(stored)
    path = Path(spec.output) / f"{spec.name}.gguf"
    GgufWriter(values, _tensors(stored, architecture, spec.dtype)).write(path, progress)
    _check_same(path, config)


def _tensors(stored: Stored, architecture: str, dtype: str | None) -> list[Tensor]:
    config = stored.config
    heads = {"q_proj": config.num_heads, "k_proj": config.num_kv_heads}
    found = []
    for name, weight in stored.weights.items():
        part = name.split(".")[-2]
        if architecture == "llama" and part in heads:
            weight = _permuted(weight, heads[part])  # noqa: PLW2901 - as this file has it
        found.append(tensor_of(gguf_name(config.architecture, name), weight, dtype))
    if config.rope.kind == "llama3":
        factors = np.array(llama3_factors(config.rope, config.head_dim), np.float32)
        weight = Weight(factors.shape, "float32", lambda: iter([factors]))
        found.append(tensor_of(ROPE_FACTORS, weight, None))
    return found


def _permuted(weight: Weight, heads: int) -> Weight:
    """Rotary pairs side by side: the inverse of gguf_names._unpermute."""
    half = weight.shape[0] // heads // 2
    return transformed(
        weight,
        lambda rows: (
            rows.reshape(heads, 2, half, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
        ),
    )


def _check_same(path: Path, config: ModelConfig) -> None:
    """Raise InvalidField where the file says another network than the version is."""
    try:
        with GgufFile(str(path)) as file:
            again = gguf_config(file)
    except InvalidModelFile as error:
        raise InvalidField.of(
            "format", f"{_NO_WORDS.format(what='network')}: {error.message}"
        ) from None
    differing = [
        name
        for name in ModelConfig.__struct_fields__
        # llama.cpp calls Mistral llama.
        if name != "family" and getattr(again, name) != getattr(config, name)
    ]
    if differing:
        what = f"network's {', '.join(differing)}"
        raise InvalidField.of("format", _NO_WORDS.format(what=what))
