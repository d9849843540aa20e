"""Tokenizers built from GGUF metadata, against references that share no code with ours."""

import heapq

import pytest
from tokenizers import Tokenizer
from transformers.integrations.gguf.gguf_tokenizer_mapping import convert_gguf_tokenizer

import factory
from llmosd.errors import InvalidModelFile
from llmosd.jobs.importing.gguf_tokenizer import gguf_tokenizer

TEXTS = [
    "the and in other words, 12345 6.7e8",
    "  leading   runs \n\n\n of\t space \r\n ",
    "It's we'LL they'd I'm",
    "naïve e\u0301 日本語 한국어 👩‍👩‍👧 ½ Ⅳ ٣",
    "def f(x):\n    return x ** 2  # note\n",
    "a<|im_end|>b <|im_end|> c",
    "",
]


def byte_level(pre="gpt-2", **changes):
    tokenizer = factory.tiny_tokenizer()
    size = tokenizer.get_vocab_size()
    special = set(factory.SPECIAL)
    tokens = [tokenizer.id_to_token(i) for i in range(size)]
    values = {
        "model": "gpt2",
        "pre": pre,
        "tokens": tokens,
        "token_type": [3 if token in special else 1 for token in tokens],
        "merges": factory._MERGES.split(","),
        "bos_token_id": 276,
        "eos_token_id": 278,
    }
    values |= changes
    return {f"tokenizer.ggml.{k}": v for k, v in values.items() if v is not ...}


def build(metadata):
    text, defaults = gguf_tokenizer(metadata, len(metadata["tokenizer.ggml.tokens"]))
    return Tokenizer.from_str(text), defaults


def by_transformers(metadata):
    values = {key.removeprefix("tokenizer.ggml."): value for key, value in metadata.items()}
    values["tokenizer_type"] = values.pop("model")
    values["pre_tokenizer_type"] = values.pop("pre", None)
    return convert_gguf_tokenizer("llama", values)[0]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("pre", ["gpt-2", "default", "llama-bpe", "qwen2"])
def test_byte_level_as_transformers_cuts_it(pre, text):
    metadata = byte_level(pre, add_bos_token=False)
    ours, _ = build(metadata)
    if pre == "qwen2":
        # Qwen's own tokenizer.json normalizes; transformers' GGUF reader leaves that out.
        import unicodedata

        text = unicodedata.normalize("NFC", text)
    ids = ours.encode(text).ids
    assert ids == by_transformers(metadata).encode(text, add_special_tokens=False).ids
    assert ours.decode(ids, skip_special_tokens=False) == text


@pytest.mark.parametrize(
    ("pre", "expected"), [("smollm", 5), ("llama-bpe", 3), ("qwen2", 5), ("gpt-2", 1)]
)
def test_how_each_family_cuts_numbers(pre, expected):
    """One digit, up to three, or the whole number is one piece."""
    tokenizer, _ = build(byte_level(pre))
    pieces = tokenizer.pre_tokenizer.pre_tokenize_str("12345")
    longest = max(len(piece) for piece, _ in pieces)
    assert longest == {5: 1, 3: 3, 1: 5}[expected]


def test_qwen_normalizes():
    tokenizer, _ = build(byte_level("qwen2"))
    assert tokenizer.encode("e\u0301").ids == tokenizer.encode("\u00e9").ids


def test_bos_is_added_where_the_file_or_its_family_says_so():
    _, quiet = build(byte_level("gpt-2"))
    assert (quiet.add_bos, quiet.bos_token, quiet.bos_token_id) == (False, "<|endoftext|>", 276)
    tokenizer, loud = build(byte_level("llama-bpe"))
    assert loud.add_bos
    assert tokenizer.encode("the").ids[0] == 276
    assert tokenizer.encode("the", add_special_tokens=False).ids[0] != 276
    _, silenced = build(byte_level("llama-bpe", add_bos_token=False))
    assert not silenced.add_bos
    _, without = build(byte_level("llama-bpe", bos_token_id=...))
    assert (without.add_bos, without.bos_token) == (False, None)


def test_whatever_ends_an_answer_is_found():
    _, defaults = build(byte_level("gpt-2", eot_token_id=277))
    assert defaults.eos_token == "<|im_end|>"
    assert defaults.eos_token_ids == [278, 277, 276]


def test_user_defined_tokens_are_whole_and_not_special():
    metadata = byte_level("gpt-2")
    metadata["tokenizer.ggml.tokens"] = [*metadata["tokenizer.ggml.tokens"], "<think>"]
    metadata["tokenizer.ggml.token_type"] = [*metadata["tokenizer.ggml.token_type"], 4]
    tokenizer, _ = build(metadata)
    ids = tokenizer.encode("a<think>b").ids
    assert ids[1] == 279
    assert tokenizer.decode(ids) == "a<think>b"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "bert"}, "tokenizer 'bert' is not supported, only gpt2, llama"),
        ({"model": ...}, "tokenizer 'None' is not supported"),
        ({"pre": "gpt-9"}, "pre-tokenizer 'gpt-9' is not supported, only default"),
        ({"pre": "x\n\x1b"}, r"pre-tokenizer 'x\\n\\x1b'"),
        ({"token_type": [1]}, "differ in length"),
        ({"token_type": "x"}, "token_type is not a list of int"),
        ({"tokens": [1]}, "tokens is not a list of str"),
        ({"tokens": ["a", "a"]}, "a token comes twice"),
        ({"merges": ["ab"]}, "'ab' in tokenizer.ggml.merges is not a pair"),
        ({"merges": ["q zz"]}, "the tokenizer cannot be built"),
        ({"bos_token_id": 279}, "bos_token_id is not in the vocabulary"),
        ({"eos_token_id": -1}, "eos_token_id is not in the vocabulary"),
        ({"eos_token_id": "2"}, "eos_token_id is not in the vocabulary"),
    ],
)
def test_a_vocabulary_that_does_not_fit_is_refused(changes, message):
    with pytest.raises(InvalidModelFile, match=message):
        build(byte_level(**changes))


def test_the_vocabulary_has_a_token_for_each_row():
    metadata = byte_level("gpt-2")
    with pytest.raises(InvalidModelFile, match="279 tokens, but the embedding has 300 rows"):
        gguf_tokenizer(metadata, 300)


# Every character of a longer piece is a piece too, as SentencePiece's trainer sees to.
_PIECES = (
    "▁ t h e a n d o i r s l w g . , ▁t ▁the he th ▁a an ▁an and ▁and in er on or ing ▁w ▁wor "
    "▁world ld orld ▁▁ ▁▁▁▁ ll ell hell ▁hell ▁hello lo hello ▁in ▁s st st. ▁o ▁on er. é 日"
)
PIECES = _PIECES.split(" ")


def sentencepiece(**changes):
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *PIECES]
    kinds = [2, 3, 3, *[6] * 256, *[1] * len(PIECES)]
    # Unlike any order of ours: scores fall with a mixed-up position.
    scores = [0.0] * 259 + [-float((i * 17) % len(PIECES)) for i in range(len(PIECES))]
    values = {
        "model": "llama",
        "tokens": tokens,
        "token_type": kinds,
        "scores": scores,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    values |= changes
    return {f"tokenizer.ggml.{k}": v for k, v in values.items() if v is not ...}


def reference_sentencepiece(metadata, text, prefix="▁"):
    """SentencePiece BPE as llama.cpp does it (llm_tokenizer_spm): best neighbours first."""
    tokens = metadata["tokenizer.ggml.tokens"]
    scores = metadata["tokenizer.ggml.scores"]
    ids = {token: i for i, token in enumerate(tokens)}
    symbols = list(prefix + text.replace(" ", "▁")) if text else []
    following = [*range(1, len(symbols)), -1]
    before = [-1, *range(len(symbols) - 1)]
    queue = []

    def offer(left, right):
        if left >= 0 and right >= 0 and (joined := symbols[left] + symbols[right]) in ids:
            heapq.heappush(queue, (-scores[ids[joined]], left, right, joined))

    for i in range(len(symbols) - 1):
        offer(i, i + 1)
    while queue:
        _, left, right, joined = heapq.heappop(queue)
        if not symbols[left] or not symbols[right] or symbols[left] + symbols[right] != joined:
            continue
        symbols[left], symbols[right] = joined, ""
        following[left] = following[right]
        if following[right] >= 0:
            before[following[right]] = left
        offer(before[left], left)
        offer(left, following[left])
    found = []
    for symbol in symbols:
        if symbol in ids:
            found.append(ids[symbol])
        elif symbol:
            found += [ids[f"<0x{byte:02X}>"] for byte in symbol.encode()]
    return found


SPM_TEXTS = [
    "hello world",
    "the hell and the other world.",
    "    four  two",
    " leading",
    "trailing ",
    "é 日本 👩‍👧 ½",
    "line\n\ttab",
    "",
    "x",
    "thethethe and and er. st.",
]


@pytest.mark.parametrize("text", SPM_TEXTS)
def test_sentencepiece_as_llama_cpp_joins_it(text):
    metadata = sentencepiece()
    tokenizer, _ = build(metadata)
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert ids == reference_sentencepiece(metadata, text)
    assert tokenizer.decode(ids) == text


def test_sentencepiece_adds_bos_unless_told_otherwise():
    tokenizer, defaults = build(sentencepiece())
    assert (defaults.add_bos, defaults.bos_token, defaults.eos_token_ids) == (True, "<s>", [2])
    assert tokenizer.encode("the").ids[0] == 1
    _, defaults = build(sentencepiece(add_bos_token=False))
    assert not defaults.add_bos


def test_sentencepiece_without_the_leading_space():
    metadata = sentencepiece(add_space_prefix=False, add_bos_token=False)
    tokenizer, _ = build(metadata)
    for text in ("hello", " hello", "world  and"):
        ids = tokenizer.encode(text).ids
        assert ids == reference_sentencepiece(metadata, text, prefix="")
        assert tokenizer.decode(ids) == text


def test_sentencepiece_without_scores_or_merges_is_refused():
    with pytest.raises(InvalidModelFile, match="neither merges nor scores"):
        build(sentencepiece(scores=...))


def test_a_token_too_long_to_cut_costs_no_time():
    metadata = sentencepiece()
    metadata["tokenizer.ggml.tokens"] = [*metadata["tokenizer.ggml.tokens"], "a" * 100_000]
    metadata["tokenizer.ggml.token_type"] = [*metadata["tokenizer.ggml.token_type"], 1]
    metadata["tokenizer.ggml.scores"] = [*metadata["tokenizer.ggml.scores"], 0.0]
    build(metadata)
