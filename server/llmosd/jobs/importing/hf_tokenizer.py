"""Hugging Face's tokenizer files as tokenizer.json, generation defaults and a chat template."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from llmosd.errors import InvalidModelFile
from llmosd.jobs.importing.json_files import Fields, Object, load_object, read_limited
from llmosd.jobs.importing.source import checked_template
from llmosd.jobs.importing.strangers import guarded
from llmosd.store.manifest import GenerationDefaults

MAX_TOKENIZER = 64 * 1024 * 1024
_MAX_TEMPLATE_FILE = 1024 * 1024


def hf_tokenizer(files: Mapping[str, Path], vocab_size: int) -> Tokenizer:
    """Load tokenizer.json; raises InvalidModelFile where it is missing, broken or too large.

    Its truncation and padding are dropped: a prompt is never cut in silence.
    """
    name = "tokenizer.json"
    if name not in files:
        raise InvalidModelFile(f"{name} is missing; save the tokenizer in the fast format")
    data = read_limited(files[name], name, MAX_TOKENIZER)
    tokenizer = guarded(name, lambda: Tokenizer.from_str(data.decode()))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    if not 0 <= largest < vocab_size:
        raise InvalidModelFile(
            f"{name}: token {largest} is outside the model's vocabulary of {vocab_size}"
        )
    return tokenizer


def hf_generation(
    files: Mapping[str, Path], config: Object, tokenizer: Tokenizer
) -> GenerationDefaults:
    """Collect bos, eos and sampling from the files that may hold them; raises InvalidModelFile."""
    generation = _optional(files, "generation_config.json")
    tokens = _optional(files, "tokenizer_config.json")
    bos_token = _token_text(tokens, "bos_token")
    bos = tokenizer.token_to_id(bos_token) if bos_token else None
    if bos is None:
        bos = next(iter(_ids(generation, "bos_token_id") or _ids(config, "bos_token_id")), None)
    ends = _ids(generation, "eos_token_id") or _ids(config, "eos_token_id")
    eos_token = _token_text(tokens, "eos_token")
    eos = tokenizer.token_to_id(eos_token) if eos_token else None
    if eos is not None and eos not in ends:
        ends.append(eos)
    for index in [*ends, *([] if bos is None else [bos])]:
        if tokenizer.id_to_token(index) is None:
            raise InvalidModelFile(
                f"generation_config.json: token {index} is not in the vocabulary"
            )
    return GenerationDefaults(
        bos_token=None if bos is None else tokenizer.id_to_token(bos),
        eos_token=tokenizer.id_to_token(ends[0]) if ends else None,
        add_bos=bos is not None and _adds_bos(tokenizer, bos, tokens),
        bos_token_id=bos,
        eos_token_ids=ends,
        **_sampling(generation),
    )


def hf_chat_template(files: Mapping[str, Path]) -> str | None:
    """The template, from its own file or tokenizer_config.json; raises InvalidModelFile."""
    name = "chat_template.jinja"
    if name in files:
        data = read_limited(files[name], name, _MAX_TEMPLATE_FILE)
        try:
            return checked_template(data.decode())
        except UnicodeDecodeError:
            raise InvalidModelFile(f"{name}: not UTF-8") from None
    template = _optional(files, "tokenizer_config.json").get("chat_template")
    if isinstance(template, list):
        # Several by name, as older files have them.
        named = [item for item in template if isinstance(item, dict)]
        template = next((t.get("template") for t in named if t.get("name") == "default"), None)
    return checked_template(template)


def _optional(files: Mapping[str, Path], name: str) -> Object:
    return load_object(files[name], name) if name in files else {}


def _token_text(values: Object, key: str) -> str | None:
    """A token, given as its text or as an object with its content."""
    token = values.get(key)
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) else None


def _ids(values: Object, key: str) -> list[int]:
    """One id, or several, or none."""
    value = values.get(key)
    items = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(i, int) and not isinstance(i, bool) and 0 <= i < 1 << 31 for i in items):
        raise InvalidModelFile(f"{key} is not a token id, or a list of them")
    return list(dict.fromkeys(items))


def _adds_bos(tokenizer: Tokenizer, bos: int, tokens: Object) -> bool:
    if tokens.get("add_bos_token") is True:
        return True
    ids: list[int] = tokenizer.encode("a", add_special_tokens=True).ids
    return ids[:1] == [bos] and ids[1:2] != []


def _sampling(generation: Object) -> dict[str, Any]:
    """The author's sampling parameters; none where the author samples greedily."""
    fields = Fields(generation, "generation_config.json")
    if not fields.flag("do_sample", default=False):
        return {}
    found: dict[str, Any] = {}
    for key, (least, most) in SAMPLING.items():
        if not fields.has(key):
            continue
        value = fields.integer(key) if key == "top_k" else fields.number(key)
        if not least <= value <= most:
            raise InvalidModelFile(
                f"generation_config.json: {key} is {value}; it must be from {least} to {most}"
            )
        found[key] = value
    return found


# As in llmos.v1.SamplingParameters.
SAMPLING = {
    "temperature": (0.0, 10.0),
    "top_p": (1e-6, 1.0),
    "top_k": (0, (1 << 31) - 1),
    "min_p": (0.0, 1.0),
    "repetition_penalty": (1e-6, 10.0),
}
