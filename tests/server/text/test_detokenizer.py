"""Text as tokens come: whole characters, stop texts over any cut."""

import random

import pytest

from factory import tiny_tokenizer
from llmosd.text.detokenizer import Detokenizer, StopMatcher
from llmosd.text.vocabulary import Vocabulary

TEXTS = [
    "hello world",
    "caf\u00e9 \u4f60\u597d \U0001f642\U0001f469\u200d\U0001f680 x",
    "  tabs\t\n\n end  ",
    "\u0000\u0007",
]


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture(scope="module")
def vocabulary(tokenizer):
    return Vocabulary(tokenizer.to_str().encode())


@pytest.mark.parametrize("text", TEXTS)
def test_never_half_a_character(tokenizer, vocabulary, text):
    """Every piece is valid by itself, the pieces make the text."""
    detokenizer = Detokenizer(vocabulary)
    pieces = [detokenizer.add(token) for token in tokenizer.encode(text).ids]
    assert "".join(pieces) + detokenizer.flush() == text
    assert not any("\ufffd" in piece for piece in pieces)


def test_unfinished_character_is_replaced_at_the_end(tokenizer, vocabulary):
    """An answer cut within a character ends in U+FFFD, as decoding it at once would."""
    ids = tokenizer.encode("ok \U0001f642").ids[:-1]
    detokenizer = Detokenizer(vocabulary)
    text = "".join(map(detokenizer.add, ids))
    assert text == "ok "
    assert detokenizer.flush() == "\ufffd"


def test_random_ids_equal_the_library(tokenizer, vocabulary):
    """Any ids at all, control tokens left away, as the tokenizers library decodes them."""
    rng = random.Random(1)
    for _ in range(200):
        ids = [rng.randrange(tokenizer.get_vocab_size()) for _ in range(30)]
        detokenizer = Detokenizer(vocabulary)
        text = "".join(map(detokenizer.add, ids)) + detokenizer.flush()
        assert text == tokenizer.decode(ids, skip_special_tokens=True)


def cuts(text, seed):
    rng = random.Random(seed)
    at = 0
    while at < len(text):
        size = rng.randrange(1, 5)
        yield text[at : at + size]
        at += size


@pytest.mark.parametrize(
    ("stops", "text", "shown", "stop"),
    [
        (["END"], "abc END def", "abc ", "END"),
        (["END"], "abc EN", "abc EN", None),
        (["aab"], "aaaab", "aa", "aab"),
        (["abcd", "bc"], "xabcd", "xa", "bc"),
        (["\n\n", "\n"], "one\n\ntwo", "one", "\n"),
        (["x"], "x", "", "x"),
        ([], "anything", "anything", None),
        (["\U0001f642!"], "say \U0001f642!", "say ", "\U0001f642!"),
    ],
)
def test_stop_texts(stops, text, shown, stop):
    """However the text is cut, the same is shown and the same stop text is found."""
    for seed in range(50):
        matcher = StopMatcher(stops)
        said, found = "", None
        for piece in cuts(text, seed):
            safe, found = matcher.add(piece)
            said += safe
            assert shown.startswith(said)
            if found:
                break
        if found is None:
            said += matcher.flush()
        assert (said, found) == (shown, stop)
