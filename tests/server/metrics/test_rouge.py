"""ROUGE against rouge-score, and against what XSum's authors published."""

import random
import re

import pytest
from rouge_score.rouge_scorer import RougeScorer

from llmosd.metrics.metric import Settings
from llmosd.metrics.rouge import (
    Rouge,
    character_tokens,
    longest_common_subsequence,
    rouge_l,
    rouge_n,
    rouge_tokens,
)

NAMES = ["rouge1", "rouge2", "rougeL"]
# EdinburghNLP/XSum 7b95485c3e; of Perl's ROUGE 1.5.5, from which rouge-score differs by up to 0.4.
SYSTEMS = {
    "ptgen": (29.70, 9.21, 23.24),
    "topic-convs2s": (31.89, 11.54, 25.75),
    "convs2s": (31.27, 11.07, 25.23),
    "lead": (16.30, 1.60, 11.95),
    "ext-oracle": (29.79, 8.81, 22.66),
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_published(xsum, summaries, system):
    """All 11,334 summaries of each system: within half a point."""
    scores = Rouge(Settings())(*summaries(system))
    found = [100 * scores.values[name] for name in NAMES]
    assert found == pytest.approx(SYSTEMS[system], abs=0.5)
    printed = (xsum / f"{system}-test-output.rouge").read_text()
    one, two, longest = SYSTEMS[system]
    assert re.search(rf"f-score.*: {one:.2f}/{two:.2f}/[\d.]+/{longest:.2f}/", printed)


@pytest.mark.parametrize("system", ["ptgen", "lead", "ext-oracle"])
def test_published_needs_stems(summaries, system):
    """The control: of words as they are, ROUGE-1 is off by more than is allowed."""
    scores = Rouge(Settings(stemming=False))(*summaries(system))
    assert 100 * scores.values["rouge1"] < SYSTEMS[system][0] - 0.5
    assert "stemming:none" in scores.signature


@pytest.mark.parametrize("stemming", [True, False])
def test_equals_rouge_score(summaries, stemming):
    """Precision, recall and F1 of 400 pairs of two systems."""
    oracle = RougeScorer(NAMES, use_stemmer=stemming)
    for system in ("ptgen", "ext-oracle"):
        texts, references = summaries(system)
        for text, (reference,) in list(zip(texts, references, strict=True))[::57]:
            expected = oracle.score(reference, text)
            one = rouge_tokens(text, stemming=stemming)
            two = rouge_tokens(reference, stemming=stemming)
            found = rouge_n(one, two, 1), rouge_n(one, two, 2), rouge_l(one, two)
            for name, overlap in zip(NAMES, found, strict=True):
                assert overlap == pytest.approx(tuple(expected[name]), abs=1e-9)


@pytest.mark.parametrize(("hypothesis", "reference"), [
    ("", "a word"), ("a word", ""), ("", ""), ("?!", "a word"), ("one", "one"), ("Café au lait", "cafe au lait"),
    ("the the the the", "the cat the"), ("testing, tested; tests", "test"), ("a_b c", "a b c"),
])  # fmt: skip
def test_edges(hypothesis, reference):
    """Nothing, one word, repeated words, accents."""
    expected = RougeScorer(NAMES, use_stemmer=True).score(reference, hypothesis)
    scores = Rouge(Settings())([hypothesis], [[reference]])
    for name in NAMES:
        assert scores.values[name] == pytest.approx(expected[name].fmeasure, abs=1e-12)


def test_best_reference():
    """Of several references, the best one by each figure."""
    references = ["a cat sat on the mat", "on the mat the cat was sitting", "dogs"]
    text = "the cat sat down on the mat"
    expected = RougeScorer(NAMES, use_stemmer=True).score_multi(references, text)
    scores = Rouge(Settings())([text, text], [references, ["nothing"]])
    for name in NAMES:
        assert scores.each[name] == pytest.approx([expected[name].fmeasure, 0])
        assert scores.values[name] == pytest.approx(expected[name].fmeasure / 2)


def lcs_table(first, second):
    """The textbook's."""
    row = [0] * (len(second) + 1)
    for one in first:
        above, row = row, [0]
        for at, two in enumerate(second):
            row.append(above[at] + 1 if one == two else max(above[at + 1], row[at]))
    return row[-1]


def test_longest_common_subsequence():
    """Against the table, for texts of up to 90 tokens: more than a machine word has bits."""
    rng = random.Random(0)
    for _ in range(500):
        letters = "abcdefgh"[: rng.randint(1, 8)]
        first = rng.choices(letters, k=rng.randint(0, 90))
        second = rng.choices(letters, k=rng.randint(0, 90))
        assert longest_common_subsequence(first, second) == lcs_table(first, second)


def test_chinese():
    """Characters, by hand: 5 of 6 and 5 of 5 match, 3 of 5 and 3 of 4 pairs; as words nothing."""
    assert character_tokens("我爱 BERT，你！") == ["我", "爱", "bert", "你"]
    scores = Rouge(Settings(units="characters"))(["我很爱北京。是"], [["我爱北京是"]])
    assert scores.values["rouge1"] == pytest.approx(2 * 5 / 11)
    assert scores.values["rouge2"] == pytest.approx(2 * 3 / 9)
    assert scores.values["rougeL"] == pytest.approx(2 * 5 / 11)
    assert Rouge(Settings())(["我爱北京"], [["我爱北京"]]).values["rouge1"] == 0
