"""Exact match and F1 of short answers, as SQuAD's program has them (Rajpurkar et al., 2016)."""

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

from llmosd.metrics.metric import Scores, Settings, mean, require_references
from llmosd.metrics.tokens import IDEOGRAPH

_ARTICLE = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = frozenset(string.punctuation)
_MIXED = re.compile(rf"{IDEOGRAPH}|(?:(?!{IDEOGRAPH})\S)+")

Normalize = Callable[[str], list[str]]


def answer_words(text: str) -> list[str]:
    """Lowercased words without ASCII punctuation and English articles."""
    plain = "".join(letter for letter in text.lower() if letter not in _PUNCTUATION)
    return _ARTICLE.sub(" ", plain).split()


def answer_characters(text: str) -> list[str]:
    """For Chinese: ideographs, other words whole, no punctuation, as MLQA (Lewis et al., 2020)."""
    return _MIXED.findall("".join(letter for letter in text.lower() if not _is_mark(letter)))


def exact_match(hypothesis: str, references: Sequence[str], normalize: Normalize) -> float:
    """1 where the answer is one of the references, 0 elsewhere."""
    tokens = normalize(hypothesis)
    return float(any(tokens == normalize(reference) for reference in references))


def token_f1(hypothesis: str, references: Sequence[str], normalize: Normalize) -> float:
    """The best F1 of shared tokens; two answers without any token are the same (SQuAD 2.0)."""
    tokens = normalize(hypothesis)
    return max(_f1(tokens, normalize(reference)) for reference in references)


class ExactMatch:
    """Share of hypotheses that are one of their references, 0 to 1."""

    def __init__(self, settings: Settings) -> None:
        self._normalize = _normalizer(settings)
        self._signature = f"tokens:{settings.units}"

    def __call__(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Scores:
        """Score "exact_match", of every example too."""
        require_references(hypotheses, references)
        each = [
            exact_match(text, others, self._normalize)
            for text, others in zip(hypotheses, references, strict=True)
        ]
        return Scores({"exact_match": mean(each)}, {"exact_match": each}, self._signature)


class F1:
    """Mean F1 of tokens that hypotheses share with their best reference, 0 to 1."""

    def __init__(self, settings: Settings) -> None:
        self._normalize = _normalizer(settings)
        self._signature = f"tokens:{settings.units}"

    def __call__(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Scores:
        """Score "f1", of every example too."""
        require_references(hypotheses, references)
        each = [
            token_f1(text, others, self._normalize)
            for text, others in zip(hypotheses, references, strict=True)
        ]
        return Scores({"f1": mean(each)}, {"f1": each}, self._signature)


def _normalizer(settings: Settings) -> Normalize:
    return answer_characters if settings.units == "characters" else answer_words


def _f1(first: list[str], second: list[str]) -> float:
    if not first or not second:
        return float(first == second)
    shared = (Counter(first) & Counter(second)).total()
    return 2 * shared / (len(first) + len(second))


def _is_mark(letter: str) -> bool:
    return letter in _PUNCTUATION or unicodedata.category(letter).startswith("P")
