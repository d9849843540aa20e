"""Corpus BLEU and chrF against other programs, with several references and in Chinese."""

import math
from collections import Counter

import pytest
from nltk.translate.bleu_score import corpus_bleu

from llmosd.metrics.bleu import (
    Bleu,
    Chrf,
    TexygenBleu,
    bleu_of_sums,
    bleu_statistics,
    chrf_of_sums,
    chrf_statistics,
)
from llmosd.metrics.metric import Settings
from llmosd.metrics.sentence_bleu import sentence_bleu
from llmosd.metrics.tokens import words

# In 13a tokens already, and with matches of every order, so that smoothing plays no part.
HYPOTHESES = [
    "the cat sat on the mat near the door",
    "a man is riding a small horse on the beach",
    "it is raining again in the old town",
]
REFERENCES = [
    ["the cat sat on a mat near the door", "a cat was on the mat near the door today"],
    ["a man is riding a horse along the beach"],
    ["it rains again in the old town", "again it is raining here", "it is raining in town"],
]
CHINESE = ["我们今天去北京看长城。", "他喜欢吃苹果和香蕉。"]
CHINESE_REFERENCES = [["我们今天去北京看看长城。"], ["他很喜欢吃苹果和梨。"]]


def test_bleu_equals_nltk():
    """As many references as each has; the signature says what it is."""
    scores = Bleu(Settings())(HYPOTHESES, REFERENCES)
    expected = corpus_bleu(
        [[text.split() for text in others] for others in REFERENCES],
        [text.split() for text in HYPOTHESES],
    )
    assert scores.values["bleu"] == pytest.approx(100 * expected)
    assert 30 < scores.values["bleu"] < 70
    assert len(scores.each["bleu"]) == 3
    assert "|tok:13a|smooth:exp|" in scores.signature
    first_only = Bleu(Settings())(HYPOTHESES, [others[:1] for others in REFERENCES])
    assert first_only.values["bleu"] < scores.values["bleu"] - 1


def test_bleu_bounds():
    """The same text is 100, another one 0; texts without words are no error."""
    metric = Bleu(Settings())
    same = [others[0] for others in REFERENCES]
    assert metric(same, REFERENCES).values["bleu"] == pytest.approx(100)
    assert metric(["x y z w"], [["a b c d"]]).values["bleu"] == 0
    assert metric([""], [["a"]]).values["bleu"] == 0
    assert metric(["a"], [[""]]).values["bleu"] == 0


def test_bleu_of_chinese():
    """Characters are tokens; as words, a sentence is one token and nothing matches."""
    scores = Bleu(Settings(units="characters"))(CHINESE, CHINESE_REFERENCES)
    expected = corpus_bleu(
        [[list(text) for text in others] for others in CHINESE_REFERENCES],
        [list(text) for text in CHINESE],
    )
    assert scores.values["bleu"] == pytest.approx(100 * expected)
    assert "|tok:zh|" in scores.signature
    assert Bleu(Settings())(CHINESE, CHINESE_REFERENCES).values["bleu"] < 10


def test_bleu_from_sums():
    """Sums of the statistics decide corpus BLEU, with and without smoothing."""
    for hypotheses, references in (
        (HYPOTHESES, REFERENCES),
        (["a b c d e", "x"], [["a b c q e"], ["y"]]),
    ):
        table = bleu_statistics(hypotheses, references, Settings())
        assert table.shape == (len(hypotheses), 10)
        total = Bleu(Settings())(hypotheses, references).values["bleu"]
        assert total > 0
        assert bleu_of_sums(table.sum(0, keepdims=True)) == pytest.approx([total])


def test_chrf_from_sums():
    """The same, with more than one reference, with texts shorter than the orders, and of subsets."""
    short = ["ab", "", "the cat sat"], [["abc"], ["x"], ["the cat", "the dog sat", ""]]
    for hypotheses, references in ((HYPOTHESES, REFERENCES), short):
        table = chrf_statistics(hypotheses, references, Settings())
        assert table.shape == (len(hypotheses), 18)
        for some in ([0, 1, 2], [0, 0, 2], [1], [2, 1]):
            wanted = Chrf(Settings())(
                [hypotheses[at] for at in some], [references[at] for at in some]
            ).values["chrf"]
            assert chrf_of_sums(table[some].sum(0, keepdims=True)) == pytest.approx([wanted])


def ngrams(text, order):
    plain = "".join(text.split())
    return Counter(plain[at : at + order] for at in range(len(plain) - order + 1))


def chrf_twin(hypotheses, references, beta=2):
    """Popović, 2015, with one reference: F-score of the mean precision and recall."""
    precisions, recalls = [], []
    for order in range(1, 7):
        pairs = [
            (ngrams(text, order), ngrams(other, order))
            for text, (other,) in zip(hypotheses, references, strict=True)
        ]
        shared = sum((one & two).total() for one, two in pairs)
        precisions.append(shared / sum(one.total() for one, _ in pairs))
        recalls.append(shared / sum(two.total() for _, two in pairs))
    precision, recall = sum(precisions) / 6, sum(recalls) / 6
    return 100 * (1 + beta**2) * precision * recall / (beta**2 * precision + recall)


def test_chrf_equals_its_formula():
    """Spaces do not count."""
    references = [others[:1] for others in REFERENCES]
    scores = Chrf(Settings())(HYPOTHESES, references)
    assert scores.values["chrf"] == pytest.approx(chrf_twin(HYPOTHESES, references), abs=1e-9)
    assert len(scores.each["chrf"]) == 3
    assert scores.signature.startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no")
    more = [[*others, text] for text, others in zip(HYPOTHESES, references, strict=True)]
    assert Chrf(Settings())(HYPOTHESES, more).values["chrf"] == pytest.approx(100)


def test_texygen_bleu():
    """References of one example count for the others; figures are means of their parts."""
    metric = TexygenBleu(Settings(max_order=3))
    scores = metric(HYPOTHESES, REFERENCES)
    everything = [words(text) for others in REFERENCES for text in others]
    table = sentence_bleu([words(text) for text in HYPOTHESES], everything, 3)
    assert list(scores.values) == ["texygen_bleu_2", "texygen_bleu_3"]
    for order in (2, 3):
        name = f"texygen_bleu_{order}"
        assert scores.each[name] == table[:, order - 1].tolist()
        assert scores.values[name] == pytest.approx(math.fsum(scores.each[name]) / 3)
    swapped = metric(HYPOTHESES, REFERENCES[::-1])
    assert swapped.values == pytest.approx(dict(scores.values))
    # The control: BLEU looks at an example's own references only.
    own = Bleu(Settings())(HYPOTHESES, REFERENCES).values["bleu"]
    assert Bleu(Settings())(HYPOTHESES, REFERENCES[::-1]).values["bleu"] < own / 2
