"""BLEU and chrF of a whole set, by sacrebleu (Post, 2018); and Texygen's mean of sentence BLEU."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from llmosd.metrics.metric import Scores, Settings, require_references
from llmosd.metrics.sentence_bleu import sentence_bleu
from llmosd.metrics.tokens import tokenizer

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

_ORDER = 4
_CHARACTERS, _BETA = 6, 2
Floats = NDArray[np.float64]


class Bleu:
    """Corpus BLEU-4, 0 to 100 (Papineni et al., 2002): mteval's 13a tokens, case matters.

    With characters, sacrebleu's tokens for Chinese. Its parts are sentence BLEU, of which it is not
    the mean: for an interval give `bleu_statistics` and `bleu_of_sums` to `bootstrap`.
    """

    def __init__(self, settings: Settings) -> None:
        self._units = settings.units

    def __call__(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Scores:
        """Score "bleu", with sacrebleu's signature."""
        require_references(hypotheses, references)
        scorer = _bleu(self._units)
        total = scorer.corpus_score(list(hypotheses), _streams(references))
        single = _bleu(self._units, effective_order=True)
        each = [
            float(single.sentence_score(text, list(others)).score)
            for text, others in zip(hypotheses, references, strict=True)
        ]
        return Scores({"bleu": float(total.score)}, {"bleu": each}, str(scorer.get_signature()))


class Chrf:
    """Corpus chrF2, 0 to 100: F-score (beta 2) of character n-grams up to 6 (Popović, 2015)."""

    def __init__(self, settings: Settings) -> None:
        del settings  # characters are its units anyway

    def __call__(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Scores:
        """Score "chrf", with sacrebleu's signature; its parts are sentence chrF, not a mean's."""
        require_references(hypotheses, references)
        scorer = _chrf()
        total = scorer.corpus_score(list(hypotheses), _streams(references))
        each = [
            float(scorer.sentence_score(text, list(others)).score)
            for text, others in zip(hypotheses, references, strict=True)
        ]
        return Scores({"chrf": float(total.score)}, {"chrf": each}, str(scorer.get_signature()))


class TexygenBleu:
    """texygen_bleu_2 .., 0 to 1: mean sentence BLEU, each by all references (Zhu et al., 2018).

    It says whether texts sound like the references, whichever of them; see `self_bleu` for whether
    they are all the same, without which it says nothing.
    """

    def __init__(self, settings: Settings) -> None:
        self._tokenize = tokenizer(settings.units)
        self._max_order = settings.max_order
        self._signature = f"tokens:{settings.units}|smooth:method1|references:all"

    def __call__(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Scores:
        """Means, and what they are means of."""
        require_references(hypotheses, references)
        # In any order, as each counts once: many examples may share one and the same set.
        everything = dict.fromkeys(text for others in references for text in others)
        table = sentence_bleu(
            [self._tokenize(text) for text in hypotheses],
            [self._tokenize(text) for text in everything],
            self._max_order,
        )
        names = {f"texygen_bleu_{order}": order - 1 for order in range(2, self._max_order + 1)}
        each = {name: table[:, column].tolist() for name, column in names.items()}
        values = {name: float(table[:, column].mean()) for name, column in names.items()}
        return Scores(values, each, self._signature)


def bleu_statistics(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    settings: Settings,
) -> Floats:
    """(examples, 10): what corpus BLEU is computed from, once summed over examples.

    Columns: matches of n-grams 1 to 4, n-grams 1 to 4, length of the hypothesis and of the nearest
    reference, in tokens.
    """
    require_references(hypotheses, references)
    scorer = _bleu(settings.units, effective_order=True)
    rows = []
    for text, others in zip(hypotheses, references, strict=True):
        one = scorer.sentence_score(text, list(others))
        rows.append([*one.counts, *one.totals, one.sys_len, one.ref_len])
    return np.array(rows, np.float64)


def bleu_of_sums(sums: Floats) -> Floats:
    """(sets,) corpus BLEU of (sets, 10) sums of `bleu_statistics`."""
    from sacrebleu.metrics.bleu import BLEU  # noqa: PLC0415

    scores = [
        BLEU.compute_bleu(
            row[:_ORDER].tolist(),
            row[_ORDER : 2 * _ORDER].tolist(),
            int(row[-2]),
            int(row[-1]),
            smooth_method="exp",
        ).score
        for row in sums
    ]
    return np.array(scores, np.float64)


def chrf_statistics(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], settings: Settings
) -> Floats:
    """(examples, 18): what corpus chrF is computed from, once summed over examples.

    Columns: n-grams of the hypothesis, of the best of its references, and matches, for each of the
    orders 1 to 6.
    """
    from sacrebleu.metrics.helpers import extract_all_char_ngrams  # noqa: PLC0415

    del settings
    require_references(hypotheses, references)
    rows = []
    for text, others in zip(hypotheses, references, strict=True):
        ours = extract_all_char_ngrams(text, _CHARACTERS)
        theirs = (extract_all_char_ngrams(other, _CHARACTERS) for other in others)
        table = np.array([_matches(ours, each) for each in theirs], np.float64)
        rows.append(table[chrf_of_sums(table).argmax()])
    return np.array(rows)


def _matches(ours: list[Counter[str]], theirs: list[Counter[str]]) -> list[int]:
    columns = []
    for one, other in zip(ours, theirs, strict=True):
        # Where the reference is too short for an order, the order is left out.
        columns += [one.total() if other else 0, other.total(), (one & other).total()]
    return columns


def chrf_of_sums(sums: Floats) -> Floats:
    """(sets,) corpus chrF2 of (sets, 18) sums of `chrf_statistics`.

    F-score (beta 2) of the means of precision and recall over the orders that both sides have.
    """
    ours, theirs, both = np.moveaxis(sums.reshape(len(sums), _CHARACTERS, 3), 2, 0)
    there = (ours > 0) & (theirs > 0)
    orders = np.maximum(there.sum(1), 1)
    precision = np.where(there, both / np.maximum(ours, 1), 0).sum(1) / orders
    recall = np.where(there, both / np.maximum(theirs, 1), 0).sum(1) / orders
    below = _BETA**2 * precision + recall
    score = (1 + _BETA**2) * precision * recall / np.where(below > 0, below, 1)
    shown: Floats = 100 * score
    return shown


# sacrebleu takes a tenth of a second to import, for two of nine metrics.


def _bleu(units: str, *, effective_order: bool = False) -> "BLEU":
    from sacrebleu.metrics.bleu import BLEU  # noqa: PLC0415

    return BLEU(
        tokenize="zh" if units == "characters" else "13a",
        effective_order=effective_order,
        # Texts that end in " ." are our tokenizers' business, not a mistake to warn of.
        force=True,
    )


def _chrf() -> "CHRF":
    from sacrebleu.metrics.chrf import CHRF  # noqa: PLC0415

    return CHRF()


def _streams(references: Sequence[Sequence[str]]) -> list[list[str]]:
    """As sacrebleu wants them: all first references, all second ones, ...; None for what lacks."""
    widest = max(len(each) for each in references)
    streams = [
        [each[at] if at < len(each) else None for each in references] for at in range(widest)
    ]
    # Its documentation allows None; its annotations do not.
    return cast("list[list[str]]", streams)
