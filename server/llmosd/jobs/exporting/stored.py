"""A version as the store has it, opened to be written down elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
from tokenizers import Tokenizer

from llmosd.architectures.config import ModelConfig
from llmosd.errors import DataCorrupt, InvalidModelFile
from llmosd.jobs.importing.bounds import machine_memory
from llmosd.jobs.importing.safetensors_reader import SafetensorsFile
from llmosd.jobs.importing.weights import Weight
from llmosd.store.files import read_regular
from llmosd.store.folders import MAX_JSON
from llmosd.store.manifest import (
    CHAT_TEMPLATE,
    CONFIG,
    GENERATION,
    MANIFEST,
    TOKENIZER,
    WEIGHTS,
    GenerationDefaults,
    Manifest,
    decode_manifest,
)


class Stored(NamedTuple):
    """A version. `tokenizer` is tokenizer.json; an adapter has no `weights` of its own."""

    folder: Path
    manifest: Manifest
    config: ModelConfig
    generation: GenerationDefaults
    tokenizer: bytes
    chat_template: str | None
    weights: dict[str, Weight]

    def read(self, name: str) -> bytes:
        """A small file of the version."""
        return read_regular(self.folder, name, MAX_JSON)

    def tokenizer_model(self) -> Tokenizer:
        """The tokenizer, loaded."""
        return Tokenizer.from_str(self.tokenizer.decode())


def _weights(folder: Path, file: SafetensorsFile) -> dict[str, Weight]:
    if any(name.endswith(".scales") for name in file.tensors):
        # torch takes a second to import, and few versions need it.
        from llmosd.jobs.exporting.quantized import dequantized_weights  # noqa: PLC0415

        return dequantized_weights(folder / WEIGHTS, file)
    return {name: file.weight(name) for name in file.tensors}


@contextmanager
def open_stored(folder: Path) -> Iterator[Stored]:
    """Read all but the weights, which can be read until the context ends. Raises DataCorrupt."""
    try:
        manifest = decode_manifest(read_regular(folder, MANIFEST, MAX_JSON))
        config = msgspec.json.decode(read_regular(folder, CONFIG, MAX_JSON), type=ModelConfig)
        generation = msgspec.json.decode(
            read_regular(folder, GENERATION, MAX_JSON), type=GenerationDefaults
        )
        tokenizer = read_regular(folder, TOKENIZER, MAX_JSON)
        template = None
        if CHAT_TEMPLATE in manifest.files:
            template = read_regular(folder, CHAT_TEMPLATE, MAX_JSON).decode()
        made = Stored(folder, manifest, config, generation, tokenizer, template, {})
        if WEIGHTS not in manifest.files:
            yield made
            return
        with SafetensorsFile(folder / WEIGHTS, WEIGHTS, machine_memory()) as file:
            yield made._replace(weights=_weights(folder, file))
    except (msgspec.MsgspecError, FileNotFoundError, InvalidModelFile) as error:
        raise DataCorrupt(f"the version's files are damaged: {error}") from None
