"""The small files of a version folder, models/ID/N/, as structs.

manifest.json      Manifest: what the version is, and the SHA-256 of every other file
config.json        architectures.config.ModelConfig
model.safetensors  weights under Hugging Face's parameter names
tokenizer.json     the format of the tokenizers library
generation.json    GenerationDefaults
adapter_config.json, adapter_model.safetensors    instead of the weights, in the peft library's
                   format, where the version is an adapter to another
chat_template.jinja, card.md    optional
"""

import hashlib
from datetime import datetime
from typing import Literal

import msgspec

from llmosd.errors import DataCorrupt

MANIFEST = "manifest.json"
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
GENERATION = "generation.json"
CHAT_TEMPLATE = "chat_template.jinja"
CARD = "card.md"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"

FORMAT = 1
"""Of the folder; raised when a reader of the old one would go wrong."""

Dtype = Literal["float32", "float16", "bfloat16"]
KeptDtype = Literal["float32", "float16", "bfloat16", "int8", "int4"]


class FileEntry(msgspec.Struct, frozen=True):
    """Size in bytes and SHA-256 (lower-case hexadecimal) of one file."""

    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a version is; `family` is what users know it by, such as "qwen2".

    `dtype` is that of most weights' bytes; norms may be kept wider. int8 and int4 are written as
    quantizers.stored says. `lineage` says what it was
    made from: for an import, the format and the SHA-256 of each input file. `adapter_base` is the
    resource name of the version that an adapter is for; `parameter_count` is of both together.
    """

    format: int = FORMAT
    architecture: str
    family: str
    parameter_count: int
    context_length: int
    vocabulary_size: int
    dtype: KeptDtype
    license: str = ""
    source: str = ""
    chat: bool = False
    create_time: datetime
    files: dict[str, FileEntry]
    lineage: dict[str, str] = {}
    adapter_base: str = ""


class GenerationDefaults(msgspec.Struct, frozen=True, kw_only=True):
    """What the model's author says about generating with it; None: said nothing.

    With `add_bos`, a raw prompt starts with `bos_token_id`; a rendered chat template says itself
    what it starts with. A prompt ends with `start_token_id`, where there is one. The answer ends
    at any of `eos_token_ids`, the first of which is `eos_token`.
    """

    bos_token: str | None = None
    eos_token: str | None = None
    add_bos: bool = False
    bos_token_id: int | None = None
    start_token_id: int | None = None
    eos_token_ids: list[int] = []
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None


def encode_json(value: object) -> bytes:
    """Encode a struct for a file: sorted keys, indented, one line feed at the end."""
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=2) + b"\n"


def decode_manifest(data: bytes) -> Manifest:
    """Read manifest.json; raises DataCorrupt when damaged or of a newer format."""
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataCorrupt(f'file "{MANIFEST}" is damaged: {error}') from None
    if manifest.format != FORMAT:
        raise DataCorrupt(f'file "{MANIFEST}" has format {manifest.format}; this daemon knows 1')
    return manifest


def digest_of(data: bytes) -> str:
    """Return "sha256:" and the digest of `data`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
