"""Training a tokenizer on a dataset: characters, words, or byte pairs (Sennrich et al., 2016).

The same rows give the same tokenizer. Pieces of all three kinds put together are the text they were
cut from; only byte pairs cut every text, the other two know what they saw.
"""

import os
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from llmosd.errors import InvalidField
from llmosd.jobs.data.schema import texts
from llmosd.progress import Progress
from llmosd.store.datasets import DatasetReader
from llmosd.store.manifest import GenerationDefaults

# The trainer's threads count in an order of their own.
os.environ["TOKENIZERS_PARALLELISM"] = "false"

TokenizerKind = Literal["character", "word", "bpe"]

END, PAD, MASK, UNKNOWN = "<|endoftext|>", "<|pad|>", "<|mask|>", "<|unk|>"
STAGE = "tokenizer"

_BYTES = 256
# A long text in parts: the trainer keeps the text it is given.
_PART = 1 << 20
_CHARACTER = r"[\s\S]"
# A word with the space before it; each sign on its own; each other white space on its own.
_WORD = r" ?[^\s\p{P}\p{S}]+| ?[\p{P}\p{S}]|\s"


class TrainedTokenizer(NamedTuple):
    """A tokenizer.json, what goes beside it, and the number of tokens."""

    tokenizer_json: bytes
    defaults: GenerationDefaults
    vocabulary_size: int


def train_tokenizer(
    reader: DatasetReader, kind: TokenizerKind, vocabulary_size: int, progress: Progress
) -> TrainedTokenizer:
    """Train on the rows that the dataset's split calls train.

    `vocabulary_size` is the most tokens it may have, the control tokens included. Raises
    InvalidField where that is too few, OperationCancelled.
    """
    special = [END, PAD, MASK] if kind == "bpe" else [END, PAD, MASK, UNKNOWN]
    least = len(special) + (_BYTES if kind == "bpe" else 1)
    if vocabulary_size < least:
        raise InvalidField.of(
            "vocabulary_size", f"must be at least {least} for a tokenizer of kind {kind}"
        )
    tokenizer = _untrained(kind)
    tokenizer.train_from_iterator(
        _training_texts(reader, progress), _trainer(kind, vocabulary_size, special)
    )
    end = tokenizer.token_to_id(END)
    assert end is not None, "control tokens are always in"
    defaults = GenerationDefaults(
        bos_token=END, eos_token=END, add_bos=True, bos_token_id=end, eos_token_ids=[end]
    )
    data = tokenizer.to_str(pretty=False).encode()
    return TrainedTokenizer(data, defaults, tokenizer.get_vocab_size())


def _untrained(kind: TokenizerKind) -> Tokenizer:
    if kind == "bpe":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        return tokenizer
    tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    pattern = Regex(_CHARACTER if kind == "character" else _WORD)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(pattern, "isolated")
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def _trainer(kind: TokenizerKind, vocabulary_size: int, special: list[str]) -> Any:
    if kind == "bpe":
        return trainers.BpeTrainer(
            vocab_size=vocabulary_size,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
    return trainers.WordLevelTrainer(
        vocab_size=vocabulary_size, special_tokens=special, show_progress=False
    )


def _training_texts(reader: DatasetReader, progress: Progress) -> Iterator[str]:
    total = reader.manifest.splits.get("train", 0)
    for done, (_, row) in enumerate(reader.rows("train"), 1):
        progress.check_cancelled()
        progress.report(STAGE, done, total, "rows")
        for text in texts(reader.kind, row):
            for at in range(0, len(text), _PART):
                yield text[at : at + _PART]
