"""GGUF's vocabulary as a tokenizer of the tokenizers library, and its generation defaults.

Pre-tokenizers are those of the models' own tokenizer.json files; llama.cpp knows them by the short
names in `tokenizer.ggml.pre` (https://github.com/ggml-org/llama.cpp, src/llama-vocab.cpp).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from llmosd.errors import InvalidModelFile
from llmosd.jobs.importing.gguf_reader import Value
from llmosd.jobs.importing.sentencepiece import merges_by_score
from llmosd.jobs.importing.strangers import guarded, shown
from llmosd.store.manifest import GenerationDefaults

_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4

# Tokens that end an answer in one model family or another, as llama.cpp finds them by their text.
_ENDS = (
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|end|>",
    "<end_of_turn>",
    "</s>",
)

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + _REST
_QWEN2 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + _REST


class Vocabulary(NamedTuple):
    """The metadata's tokens, by id, with what is known of each."""

    tokens: list[str]
    kinds: list[int]
    scores: list[float]
    merges: list[tuple[str, str]]
    pre: str
    add_space_prefix: bool


def gguf_tokenizer(metadata: dict[str, Value], vocab_size: int) -> tuple[str, GenerationDefaults]:
    """Build tokenizer.json's text, and what the file says about generating.

    Raises InvalidModelFile for a kind of tokenizer that is not in the tables, and for a vocabulary
    that does not fit itself or `vocab_size`.
    """
    model = metadata.get("tokenizer.ggml.model")
    if not isinstance(model, str) or model not in _MODELS:
        raise InvalidModelFile(
            f"GGUF: tokenizer {shown(str(model))} is not supported, only {', '.join(_MODELS)}"
        )
    vocabulary = _vocabulary(metadata, vocab_size)
    tokenizer = guarded("GGUF: the tokenizer", lambda: _built(model, vocabulary))
    defaults = _defaults(metadata, vocabulary, adds_bos=model == "llama")
    if defaults.add_bos and defaults.bos_token is not None:
        bos = defaults.bos_token
        tokenizer.post_processor = processors.TemplateProcessing(
            single=[bos, "$A"],
            pair=[bos, "$A", bos, "$B"],
            special_tokens=[(bos, defaults.bos_token_id or 0)],
        )
    return tokenizer.to_str(), defaults


def _vocabulary(metadata: dict[str, Value], vocab_size: int) -> Vocabulary:
    tokens = _list(metadata, "tokens", str)
    if len(tokens) != vocab_size:
        raise InvalidModelFile(
            f"GGUF: {len(tokens)} tokens, but the embedding has {vocab_size} rows"
        )
    if len(set(tokens)) != len(tokens):
        raise InvalidModelFile("GGUF: a token comes twice in tokenizer.ggml.tokens")
    kinds = _list(metadata, "token_type", int) or [1] * len(tokens)
    scores = _list(metadata, "scores", float)
    if len(kinds) != len(tokens) or len(scores) not in {0, len(tokens)}:
        raise InvalidModelFile(
            "GGUF: tokenizer.ggml.tokens, token_type and scores differ in length"
        )
    merges = [_merge(merge) for merge in _list(metadata, "merges", str)]
    pre = metadata.get("tokenizer.ggml.pre", "default")
    space = metadata.get("tokenizer.ggml.add_space_prefix", True)
    return Vocabulary(tokens, kinds, scores, merges, str(pre), bool(space))


def _list(metadata: dict[str, Value], name: str, kind: type) -> list[Any]:
    values = metadata.get(f"tokenizer.ggml.{name}", [])
    if not isinstance(values, list) or not all(isinstance(value, kind) for value in values):
        raise InvalidModelFile(f"GGUF: tokenizer.ggml.{name} is not a list of {kind.__name__}")
    return values


def _merge(text: str) -> tuple[str, str]:
    # A token may begin with a space, but holds none after that.
    divider = text.find(" ", 1)
    if divider < 0 or divider == len(text) - 1:
        raise InvalidModelFile(f"GGUF: {shown(text)} in tokenizer.ggml.merges is not a pair")
    return text[:divider], text[divider + 1 :]


def _byte_level(vocabulary: Vocabulary) -> Tokenizer:
    """Byte-level BPE (Radford et al., 2019), tokenizer.ggml.model "gpt2"."""
    if vocabulary.pre not in PRE_TOKENIZERS:
        raise InvalidModelFile(
            f"GGUF: pre-tokenizer {shown(vocabulary.pre)} is not supported, only "
            f"{', '.join(PRE_TOKENIZERS)}"
        )
    pre = PRE_TOKENIZERS[vocabulary.pre]
    ids = {token: index for index, token in enumerate(vocabulary.tokens)}
    tokenizer = Tokenizer(models.BPE(ids, vocabulary.merges, ignore_merges=pre.whole_words))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(pre.steps())
    tokenizer.decoder = decoders.ByteLevel()
    if pre.normal_form:
        tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def _sentencepiece(vocabulary: Vocabulary) -> Tokenizer:
    """SentencePiece BPE with byte fallback (Llama 1 and 2, Mistral), tokenizer.ggml.model "llama".

    As in those models' tokenizer.json: spaces are U+2581, and text starts with one.
    """
    ids = {token: index for index, token in enumerate(vocabulary.tokens)}
    merges = vocabulary.merges or merges_by_score(ids, vocabulary.scores)
    unknown = next((t for t, k in zip(*vocabulary[:2], strict=True) if k == _UNKNOWN), None)
    tokenizer = Tokenizer(
        models.BPE(ids, merges, unk_token=unknown, fuse_unk=True, byte_fallback=True)
    )
    prefix = [normalizers.Prepend("▁")] if vocabulary.add_space_prefix else []
    tokenizer.normalizer = normalizers.Sequence([*prefix, normalizers.Replace(" ", "▁")])
    strip = [decoders.Strip(" ", 1, 0)] if vocabulary.add_space_prefix else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    return tokenizer


def _built(model: str, vocabulary: Vocabulary) -> Tokenizer:
    tokenizer = _MODELS[model](vocabulary)
    _add_tokens(tokenizer, vocabulary)
    return tokenizer


def _add_tokens(tokenizer: Tokenizer, vocabulary: Vocabulary) -> None:
    """Name the tokens that are matched whole in text; their ids stay."""
    whole = [
        AddedToken(token, normalized=False, special=kind == _CONTROL)
        for token, kind in zip(vocabulary.tokens, vocabulary.kinds, strict=True)
        if kind in {_CONTROL, _USER_DEFINED} and token
    ]
    tokenizer.add_tokens([token for token in whole if not token.special])
    tokenizer.add_special_tokens([token for token in whole if token.special])


def _defaults(
    metadata: dict[str, Value], vocabulary: Vocabulary, *, adds_bos: bool
) -> GenerationDefaults:
    def token_id(name: str) -> int | None:
        value = metadata.get(f"tokenizer.ggml.{name}_token_id")
        if value is None:
            return None
        if not isinstance(value, int) or not 0 <= value < len(vocabulary.tokens):
            raise InvalidModelFile(f"GGUF: tokenizer.ggml.{name}_token_id is not in the vocabulary")
        return value

    bos, eos = token_id("bos"), token_id("eos")
    ends = [eos, token_id("eot"), token_id("eom")]
    controls = {
        token: index
        for index, token in enumerate(vocabulary.tokens)
        if vocabulary.kinds[index] == _CONTROL
    }
    ends += [controls.get(text) for text in _ENDS]
    pre = PRE_TOKENIZERS.get(vocabulary.pre)
    default = adds_bos or (pre is not None and pre.adds_bos)
    add_bos = bool(metadata.get("tokenizer.ggml.add_bos_token", default))
    return GenerationDefaults(
        bos_token=None if bos is None else vocabulary.tokens[bos],
        eos_token=None if eos is None else vocabulary.tokens[eos],
        add_bos=add_bos and bos is not None,
        bos_token_id=bos,
        eos_token_ids=list(dict.fromkeys(end for end in ends if end is not None)),
    )


class _PreTokenizer(NamedTuple):
    """How text is cut before merging. `whole_words`: a piece that is a token needs no merges."""

    steps: Callable[[], list[Any]]
    normal_form: bool = False
    whole_words: bool = False
    adds_bos: bool = False


def _gpt2_steps() -> list[Any]:
    return [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]


def _digits_steps() -> list[Any]:
    return [pre_tokenizers.Digits(individual_digits=True), *_gpt2_steps()]


def _split_steps(pattern: str) -> Callable[[], list[Any]]:
    return lambda: [
        pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]


_LLAMA_BPE = _PreTokenizer(_split_steps(_LLAMA3), whole_words=True, adds_bos=True)

PRE_TOKENIZERS = {
    "default": _PreTokenizer(_gpt2_steps),
    "gpt-2": _PreTokenizer(_gpt2_steps),
    "smollm": _PreTokenizer(_digits_steps),
    "llama-bpe": _LLAMA_BPE,
    "llama3": _LLAMA_BPE,
    "llama-v3": _LLAMA_BPE,
    "qwen2": _PreTokenizer(_split_steps(_QWEN2), normal_form=True),
    "deepseek-r1-qwen": _PreTokenizer(_split_steps(_QWEN2)),
}

_MODELS: dict[str, Callable[[Vocabulary], Tokenizer]] = {
    "gpt2": _byte_level,
    "llama": _sentencepiece,
}
