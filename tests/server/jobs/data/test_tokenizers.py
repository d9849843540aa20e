"""Tokenizers trained on a dataset: the same every time, and back to the same text."""

import pytest
from tokenizers import Tokenizer

from llmosd.errors import InvalidField, OperationCancelled
from llmosd.jobs.data.specs import SplitSpec
from llmosd.jobs.data.tokenizers import END, MASK, PAD, UNKNOWN, train_tokenizer
from llmosd.store.datasets import DatasetReader
from llmosd.text.vocabulary import Vocabulary

TEXTS = [
    "Hello world, it's me — and me again.\n\tTwo  spaces",
    "你好，世界！今天天气很好。",
    "Family 👩‍👩‍👧 and flag 🇩🇪, naïve café",
    "<|endoftext|> is what people write, too",
]
STRANGE = [
    "\x00\x01\x7f",
    "\u202e\ufeff",
    "ü" * 5,
    "한국어 текст",
    "\r\n\n \t",
    "🤖" * 3,
    "a" * 2000,
]


@pytest.fixture
def train(workshop, make_told):
    def make(kind, size, rows=None):
        folder = workshop.dataset(rows or [{"text": text} for text in TEXTS * 3])
        with DatasetReader(folder) as reader:
            return train_tokenizer(reader, kind, size, make_told())

    return make


def there_and_back(trained, text):
    """As the tokenizers library decodes, and as the daemon does."""
    tokenizer = Tokenizer.from_str(trained.tokenizer_json.decode())
    tokenizer.encode_special_tokens = True
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    vocabulary = Vocabulary(trained.tokenizer_json)
    spelled = b"".join(map(vocabulary.token_bytes, ids))
    return tokenizer.decode(ids, skip_special_tokens=False), spelled.decode(errors="replace")


@pytest.mark.parametrize("text", TEXTS + STRANGE, ids=range(len(TEXTS + STRANGE)))
def test_byte_pairs_cut_every_text(train, text):
    assert there_and_back(train("bpe", 400), text) == (text, text)


@pytest.mark.parametrize("kind", ["character", "word"])
def test_characters_and_words_cut_what_they_saw(train, kind):
    trained = train(kind, 1000)
    for text in TEXTS[:3]:
        assert there_and_back(trained, text) == (text, text)
    assert UNKNOWN in there_and_back(trained, "Привет")[0]


@pytest.mark.parametrize("kind", ["character", "word", "bpe"])
def test_the_same_rows_give_the_same_tokenizer(train, kind):
    first = train(kind, 350)
    assert train(kind, 350) == first
    assert train(kind, 350, [{"text": "other words entirely"}]) != first


@pytest.mark.parametrize("kind", ["character", "word", "bpe"])
def test_control_tokens(train, kind):
    trained = train(kind, 300)
    tokenizer = Tokenizer.from_str(trained.tokenizer_json.decode())
    names = [END, PAD, MASK] + ([] if kind == "bpe" else [UNKNOWN])
    assert [tokenizer.token_to_id(name) for name in names] == list(range(len(names)))
    defaults = trained.defaults
    assert (defaults.bos_token_id, defaults.eos_token_ids, defaults.add_bos) == (0, [0], True)
    assert Vocabulary(trained.tokenizer_json).special == {n: i for i, n in enumerate(names)}
    assert trained.vocabulary_size == tokenizer.get_vocab_size() <= 300


@pytest.mark.parametrize(("kind", "least"), [("character", 5), ("word", 5), ("bpe", 259)])
def test_a_vocabulary_that_is_too_small(train, kind, least):
    with pytest.raises(InvalidField, match=f"at least {least} for a tokenizer of kind {kind}"):
        train(kind, least - 1)
    assert train(kind, least).vocabulary_size <= least


def test_only_training_rows_are_seen(workshop, make_told):
    rows = [{"text": f"word{n:03} " * 5} for n in range(100)]
    folder = workshop.clean(workshop.dataset(rows), split=SplitSpec(validation=0.5))
    with DatasetReader(folder) as reader:
        trained = train_tokenizer(reader, "word", 1000, make_told())
        for _, row in reader.rows("validation"):
            assert row["text"].split()[0].encode() not in trained.tokenizer_json
        for _, row in reader.rows("train"):
            assert row["text"].split()[0].encode() in trained.tokenizer_json


def test_all_texts_of_a_row_are_seen(workshop, make_told):
    row = {"prompt": "aaa", "chosen": "bbb", "rejected": "ccc"}
    with DatasetReader(workshop.dataset([row], "preference")) as reader:
        trained = train_tokenizer(reader, "word", 100, make_told())
    assert all(word in trained.tokenizer_json for word in (b"aaa", b"bbb", b"ccc"))


def test_cancelling(workshop, make_told):
    folder = workshop.dataset([{"text": "a"}])
    with DatasetReader(folder) as reader, pytest.raises(OperationCancelled):
        train_tokenizer(reader, "bpe", 300, make_told(OperationCancelled("stop")))
