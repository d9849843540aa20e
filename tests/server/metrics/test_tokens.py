"""Words against NLTK's Treebank tokenizer, which published figures were counted with."""

import pytest
from nltk.tokenize import NLTKWordTokenizer

from llmosd.metrics.tokens import characters, words


@pytest.mark.parametrize(("text", "tokens"), [
    ("A dog at night.", ["a", "dog", "at", "night", "."]),
    ("it's Tom's", ["it", "'s", "tom", "'s"]),
    ("don't, can't!", ["do", "n't", ",", "ca", "n't", "!"]),
    ("black-and-white (1,000 at 11:59)", ["black-and-white", "(", "1,000", "at", "11:59", ")"]),
    ("so ... well", ["so", "...", "well"]),
    ("", []),
    (" \n\t", []),
    ("naïve Ärger", ["naïve", "ärger"]),
])  # fmt: skip
def test_words(text, tokens):
    """Punctuation by itself, contractions as in the Penn Treebank."""
    assert words(text) == tokens


@pytest.mark.parametrize(("text", "tokens"), [
    ("我爱你。", ["我", "爱", "你", "。"]),
    ("用GPT-2做实验", ["用", "gpt", "-", "2", "做", "实", "验"]),
    ("Plain words", ["plain", "words"]),
    ("𠀀㐀豈", ["𠀀", "㐀", "豈"]),
])  # fmt: skip
def test_characters(text, tokens):
    """Ideographs by themselves, rare ones too; other words whole."""
    assert characters(text) == tokens


def test_as_nltk(shared_data):
    """Of captions, 998 in 1,000 are cut as NLTK cuts them; without the Treebank's rules fewer."""
    lines = shared_data("texygen.coco.test.txt").read_text().lower().splitlines()[:3000]
    cut = NLTKWordTokenizer().tokenize
    expected = [cut(line) for line in lines]
    same = sum(words(line) == tokens for line, tokens in zip(lines, expected, strict=True))
    assert same >= 0.998 * len(lines)
    split = sum(line.split() == tokens for line, tokens in zip(lines, expected, strict=True))
    assert split < 0.5 * len(lines)
