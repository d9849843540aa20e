"""ROUGE-1, ROUGE-2 and ROUGE-L (Lin, 2004), as the package rouge-score computes them."""

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from llmosd.metrics.metric import Scores, Settings, mean, require_references
from llmosd.metrics.porter import stem
from llmosd.metrics.tokens import Tokenize, characters

_WORD = re.compile(r"[a-z0-9]+")
_STEMMED = 4
"""Letters that a word has at least before it is stemmed, as in Lin's program."""

Tokens = Sequence[Hashable]


class Overlap(NamedTuple):
    """What two texts share, as a part of the hypothesis, of the reference, and of both; 0 to 1."""

    precision: float
    recall: float
    f1: float


def rouge_n(hypothesis: Tokens, reference: Tokens, order: int) -> Overlap:
    """n-grams of `order` that both have, each as often as the text that has it less often."""
    first, second = _ngrams(hypothesis, order), _ngrams(reference, order)
    shared = sum(min(count, second[gram]) for gram, count in first.items())
    return _overlap(shared, first.total(), second.total())


def rouge_l(hypothesis: Tokens, reference: Tokens) -> Overlap:
    """The longest common subsequence; each text counts as one sentence."""
    return _overlap(
        longest_common_subsequence(hypothesis, reference), len(hypothesis), len(reference)
    )


def longest_common_subsequence(first: Tokens, second: Tokens) -> int:
    """Its length, by the bits of integers (Hyyrö, 2004): a step per token, not per pair of tokens.

    Bit i of `row` is 0 where the table of the textbook goes up by one between its columns i and
    i + 1; a step makes the next row of that table.
    """
    places: dict[Hashable, int] = {}
    for at, token in enumerate(first):
        places[token] = places.get(token, 0) | 1 << at
    everything = (1 << len(first)) - 1
    row = everything
    for token in second:
        hits = row & places.get(token, 0)
        row = ((row + hits) | (row - hits)) & everything
    return len(first) - row.bit_count()


def rouge_tokens(text: str, *, stemming: bool = True) -> list[str]:
    """Runs of a to z and 0 to 9, lowercased; all else, accented letters too, divides them."""
    found = _WORD.findall(text.lower())
    if not stemming:
        return found
    return [stem(word) if len(word) >= _STEMMED else word for word in found]


def character_tokens(text: str) -> list[str]:
    """For Chinese: ideographs, and words of other scripts; no punctuation, no stems."""
    return [token for token in characters(text) if token[0].isalnum()]


class Rouge:
    """F1 of ROUGE-1, ROUGE-2 and ROUGE-L, 0 to 1: the mean over examples.

    Of several references the one with the highest F1 counts, for each of the three by itself.
    """

    def __init__(self, settings: Settings) -> None:
        self._tokenize = _tokenizer(settings)
        kind = "characters" if settings.units == "characters" else "words"
        self._signature = f"tokens:{kind}|stemming:{_stems(settings)}|references:best"

    def __call__(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Scores:
        """Scores rouge1, rouge2 and rougeL, of every example too."""
        require_references(hypotheses, references)
        each: dict[str, list[float]] = {"rouge1": [], "rouge2": [], "rougeL": []}
        for text, others in zip(hypotheses, references, strict=True):
            tokens = self._tokenize(text)
            wanted = [self._tokenize(other) for other in others]
            each["rouge1"].append(max(rouge_n(tokens, other, 1).f1 for other in wanted))
            each["rouge2"].append(max(rouge_n(tokens, other, 2).f1 for other in wanted))
            each["rougeL"].append(max(rouge_l(tokens, other).f1 for other in wanted))
        values = {name: mean(scores) for name, scores in each.items()}
        return Scores(values, each, self._signature)


def _tokenizer(settings: Settings) -> Tokenize:
    if settings.units == "characters":
        return character_tokens
    return lambda text: rouge_tokens(text, stemming=settings.stemming)


def _stems(settings: Settings) -> str:
    return "porter" if settings.stemming and settings.units == "words" else "none"


def _ngrams(tokens: Tokens, order: int) -> Counter[tuple[Hashable, ...]]:
    return Counter(zip(*(tokens[start:] for start in range(order)), strict=False))


def _overlap(shared: int, hypothesis: int, reference: int) -> Overlap:
    precision = shared / max(hypothesis, 1)
    recall = shared / max(reference, 1)
    total = precision + recall
    return Overlap(precision, recall, 2 * precision * recall / total if total else 0.0)
