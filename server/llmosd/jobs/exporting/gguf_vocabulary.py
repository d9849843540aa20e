"""A tokenizer as GGUF's metadata.

llama.cpp cuts text before merging by rules it knows by a short name. Which one a tokenizer.json has
is found as llama.cpp's own converter finds it: by what it makes of texts that tell the rules apart.
A tokenizer that no rule reproduces is refused.
"""

import json
from typing import Any

from tokenizers import Tokenizer

from llmosd.errors import InvalidField, InvalidModelFile
from llmosd.jobs.exporting.gguf_file import Value
from llmosd.jobs.exporting.stored import Stored
from llmosd.jobs.importing.gguf_tokenizer import PRE_TOKENIZERS, gguf_tokenizer

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6

# ruff: noqa: RUF001 - letters that look like others are what is to be told apart
PROBES = (
    "Hello world",
    " leading, trailing ",
    "two  spaces,   three\tand\ttabs\n\nand\r\nlines \n ",
    "It's we'll I'VE they'd CAN'T o'clock 'tis",
    "1 12 123 1234 12345 3.14159 1,000,000 0x1F ２３ ٣٤",
    "CamelCase snake_case kebab-case x=y+z; f(a[0])->b::c /* d */ #!$%^&*",
    "éèêñçöüßÆøÅ ÀÉÎ e\u0301 ﬁ Ω Å",
    "中文分词测试，日本語のテスト。한국어 시험 ภาษาไทย हिन्दी עברית العربية",
    "🚀🙂👍🏽👨‍👩‍👧 ™ © € ½ ∑ ≠ → \u200b\u00a0\u3000",
    "http://example.org/a?b=c&d=e#f user@example.org @name #tag",
    "...!!!???--- ''\"\" `` «» “” …",
    "",
    " ",
)


def vocabulary(stored: Stored) -> dict[str, Value]:
    """The keys tokenizer.*; raises InvalidField where GGUF has no words for the tokenizer."""
    tokenizer = stored.tokenizer_model()
    raw = json.loads(stored.tokenizer)
    model = raw["model"]
    if model.get("type") != "BPE":
        raise _refused(f"tokenizer, a {str(model.get('type'))[:32]}")
    size = stored.config.vocab_size
    values = _tokens(tokenizer, raw, size) | _special(stored)
    values["tokenizer.ggml.merges"] = _merges(model)
    for candidate in _candidates(raw):
        found = {"tokenizer.ggml.model": candidate[0], **values, **candidate[1]}
        if _reproduces(found, tokenizer, size):
            return {key: value for key, value in found.items() if value != []}
    raise _refused("tokenizer's way of cutting text")


def _candidates(raw: Any) -> list[tuple[str, dict[str, Value]]]:
    """Kinds of tokenizers that it could be, with what they need beside the tokens."""
    if raw["model"].get("byte_fallback"):
        return [("llama", {"tokenizer.ggml.add_space_prefix": prefix}) for prefix in (True, False)]
    # "default" is what files from before there were names have, and llama.cpp warns of it.
    return [("gpt2", {"tokenizer.ggml.pre": pre}) for pre in PRE_TOKENIZERS if pre != "default"]


def _reproduces(metadata: dict[str, Value], tokenizer: Tokenizer, size: int) -> bool:
    try:
        text, _ = gguf_tokenizer(dict(metadata), size)
    except InvalidModelFile:
        return False
    again = Tokenizer.from_str(text)

    def ids(which: Tokenizer, probe: str) -> list[int]:
        found: list[int] = which.encode(probe, add_special_tokens=False).ids
        return found

    return all(ids(again, probe) == ids(tokenizer, probe) for probe in PROBES)


def _tokens(tokenizer: Tokenizer, raw: Any, size: int) -> dict[str, Value]:
    added = {each["id"]: bool(each["special"]) for each in raw.get("added_tokens", [])}
    unknown = raw["model"].get("unk_token")
    fallback = bool(raw["model"].get("byte_fallback"))
    tokens: list[str] = []
    kinds: list[int] = []
    for index in range(size):
        token = tokenizer.id_to_token(index)
        tokens.append(f"[PAD{index}]" if token is None else token)
        if token is None:
            kinds.append(_UNUSED)
        elif token == unknown:
            kinds.append(_UNKNOWN)
        elif index in added:
            kinds.append(_CONTROL if added[index] else _USER_DEFINED)
        else:
            byte = fallback and len(token) == 6 and token.startswith("<0x")
            kinds.append(_BYTE if byte else _NORMAL)
    values: dict[str, Value] = {
        "tokenizer.ggml.tokens": list(tokens),
        "tokenizer.ggml.token_type": list(kinds),
    }
    if fallback:
        values["tokenizer.ggml.scores"] = _scores(tokens, raw["model"])
    return values


def _scores(tokens: list[str], model: Any) -> list[Any]:
    """SentencePiece joins the pair of the highest score: that of an earlier merge is higher."""
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(_merges(model)):
        ranks.setdefault(merge[: merge.find(" ", 1)] + merge[merge.find(" ", 1) + 1 :], rank)
    return [float(-ranks[token] - 1) if token in ranks else 0.0 for token in tokens]


def _merges(model: Any) -> list[Any]:
    """Each as "left right"; newer files have pairs."""
    return [each if isinstance(each, str) else " ".join(each) for each in model.get("merges", [])]


def _special(stored: Stored) -> dict[str, Value]:
    defaults = stored.generation
    ends: list[int] = defaults.eos_token_ids
    values: dict[str, Value] = {"tokenizer.ggml.add_bos_token": defaults.add_bos}
    if defaults.bos_token_id is not None:
        values["tokenizer.ggml.bos_token_id"] = defaults.bos_token_id
    for name, index in zip(("eos", "eot", "eom"), ends, strict=False):
        values[f"tokenizer.ggml.{name}_token_id"] = index
    if stored.chat_template is not None:
        values["tokenizer.chat_template"] = stored.chat_template
    return values


def _refused(what: str) -> InvalidField:
    return InvalidField.of(
        "format", f"GGUF has no words for this {what}; export it with the format HUGGING_FACE"
    )
