"""Texts as the tokens that metrics count; not a model's tokens."""

import re
from collections.abc import Callable
from typing import Literal

IDEOGRAPH = (
    r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002ebef\U0002f800-\U0002fa1f"
    r"\U00030000-\U000323af]"
)
"""A Chinese character: Unicode's CJK unified ideographs, extensions A to H, and compatibility."""

# As the Penn Treebank has it: "it 's", "do n't"; hyphens, and points between figures, stay inside.
_WORD = re.compile(
    r"n't\b|'(?:s|m|d|ll|re|ve)\b|\w+?(?=n't\b)|\w+(?:(?:[-./:]|,(?=\d))\w+)*|\.{2,}|[^\w\s]"
)
_CHARACTER = re.compile(rf"{IDEOGRAPH}|(?:(?!{IDEOGRAPH})\w)+|[^\w\s]")

Tokenize = Callable[[str], list[str]]


def words(text: str) -> list[str]:
    """Lowercased words, every punctuation mark by itself: "A dog." is ["a", "dog", "."]."""
    return _WORD.findall(text.lower())


def characters(text: str) -> list[str]:
    """Lowercased; each ideograph and punctuation mark by itself, other words whole."""
    return _CHARACTER.findall(text.lower())


def tokenizer(units: Literal["words", "characters"]) -> Tokenize:
    """The function that cuts a text into `units`."""
    return characters if units == "characters" else words
