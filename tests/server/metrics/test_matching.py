"""Answers against SQuAD's and MLQA's programs, whose figures on XQuAD are recorded here."""

import json

import pytest

from llmosd.metrics.matching import (
    F1,
    ExactMatch,
    answer_characters,
    answer_words,
    exact_match,
    token_f1,
)
from llmosd.metrics.metric import Settings


@pytest.mark.parametrize(("text", "reference", "same", "f1"), [
    ("The Eiffel Tower.", "eiffel tower", 1, 1),
    ("an apple", "apple a the", 1, 1),
    ("in 1,998", "1998", 0, 2 / 3),
    ("don't", "dont", 1, 1),
    ("New York City", "York New", 0, 4 / 5),
    ("theatre", "atre", 0, 0),
    ("go go go", "go", 0, 1 / 2),
    ("the", "", 1, 1),
    ("", "no", 0, 0),
    ("no", "", 0, 0),
])  # fmt: skip
def test_words_by_hand(text, reference, same, f1):
    """Case, punctuation, articles; an empty answer is right where there is none."""
    assert exact_match(text, [reference], answer_words) == same
    assert token_f1(text, [reference], answer_words) == pytest.approx(f1)


@pytest.mark.parametrize(("text", "reference", "same", "f1"), [
    ("北京。", "北京", 1, 1),
    ("北京市", "北京", 0, 4 / 5),
    ("《红楼梦》", "红楼梦", 1, 1),
    ("1998 年", "1998年", 1, 1),
    ("NBA 球队", "nba球员", 0, 2 / 3),
    ("the 人", "人", 0, 2 / 3),
])  # fmt: skip
def test_characters_by_hand(text, reference, same, f1):
    """Ideographs are tokens, Chinese punctuation goes, no articles."""
    assert exact_match(text, [reference], answer_characters) == same
    assert token_f1(text, [reference], answer_characters) == pytest.approx(f1)


def test_best_reference():
    """Of several; an example's figure is its own."""
    texts, references = ["red car", "blue"], [["a car", "the red car"], ["green", "black"]]
    assert ExactMatch(Settings())(texts, references).each["exact_match"] == [1, 0]
    scores = F1(Settings())(texts, references)
    assert scores.each["f1"] == [1, 0]
    assert scores.values["f1"] == 0.5


def predictions(path, change):
    """XQuAD's answers: even ones changed, odd ones with three letters more of the text around."""
    texts, references = [], []
    for article in json.loads(path.read_text())["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                gold = [answer["text"] for answer in question["answers"]]
                start = question["answers"][0]["answer_start"]
                wide = paragraph["context"][max(0, start - 3) : start + len(gold[0]) + 3]
                texts.append(wide if len(texts) % 2 else change(gold[0]))
                references.append(gold)
    return texts, references


# SQuAD 2.0's program (compute_exact, compute_f1) for English, MLQA's mlqa_evaluation_v1.py at
# 24bf470b2e for Chinese, run on the same predictions.
@pytest.mark.parametrize(("name", "units", "same", "f1"), [
    ("xquad.en.json", "words", 0.5050420168067227, 0.8411325544207605),
    ("xquad.zh.json", "characters", 0.5042016806722689, 0.8416944761971729),
])  # fmt: skip
def test_xquad(shared_data, name, units, same, f1):
    """1,190 questions, to the last digit; in Chinese, words are the control."""
    texts, references = predictions(shared_data(name), lambda gold: gold.upper() + ".")
    assert len(texts) == 1190
    settings = Settings(units=units)
    assert ExactMatch(settings)(texts, references).values["exact_match"] == pytest.approx(same)
    assert F1(settings)(texts, references).values["f1"] == pytest.approx(f1, abs=1e-12)
    if units == "characters":
        assert F1(Settings())(texts, references).values["f1"] < f1 - 0.1
    gold = [answers[0] for answers in references]
    assert ExactMatch(settings)(gold, references).values["exact_match"] == 1
    assert F1(settings)(gold, references).values["f1"] == 1
