"""Each step on texts, one by one."""

import subprocess
import sys

import pytest

from llmosd.errors import FeatureUnavailable
from llmosd.jobs.data import steps
from llmosd.jobs.data.specs import Recipe
from llmosd.jobs.data.steps import (
    normalized,
    stop_words,
    without_punctuation,
    without_stop_words,
    word_steps,
)


def apply(text, **recipe):
    for step in word_steps(Recipe(**recipe)):
        text = step(text)
    return text


def test_nothing_is_on_by_default():
    assert word_steps(Recipe()) == []
    assert apply("The CAT's, 你好！") == "The CAT's, 你好！"


def test_unicode():
    assert normalized("e\u0301 \uff21 \ufb01", "nfc") == "\u00e9 \uff21 \ufb01"
    assert normalized("e\u0301 \uff21 \ufb01", "nfkc") == "\u00e9 A fi"


def test_lowercase():
    assert apply("The ÉCOLE", lowercase=True) == "the école"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("The cat and the dog.", "cat dog."),
        ("I don't think it\u2019s here", "think"),
        ("Theatre, anderson", "Theatre, anderson"),
        ("to be or not to be", ""),
        ("one\nthe two", "one\ntwo"),
    ],
)
def test_english_stop_words(text, left):
    assert without_stop_words(text, "english") == left


def test_chinese_stop_words():
    assert without_stop_words("我 喜欢 北京 的 秋天", "chinese") == "喜欢 北京 秋天"


def test_stop_lists():
    assert {"the", "don't", "yourselves"} <= stop_words("english")
    assert {"的", "我们", "如果"} <= stop_words("chinese")
    assert not {"good", "cat"} & stop_words("english")
    assert all(word == word.lower() for word in stop_words("english"))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Hello, world!", "Hello world"),
        ("well-known", "well known"),
        ("don't", "dont"),
        ("你好，世界。", "你好 世界"),
        ("$5 + 3 = 8", "5 3 8"),
        ("a, b\nc.", "a b\nc"),
        ("...", ""),
    ],
)
def test_punctuation(text, left):
    assert without_punctuation(text) == left


def test_placeholders_of_personal_data_stay():
    all_steps = {"lowercase": True, "stop_words": "english", "strip_punctuation": True}
    assert apply("Mail [EMAIL], or call [PHONE]!", **all_steps) == "mail [EMAIL] call [PHONE]"
    assert apply("An [Array] of", strip_punctuation=True) == "An Array of"
    assert apply("A [EMAIL]B", lowercase=True) == "a [EMAIL]b"


def test_chinese_without_jieba_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "jieba", None)
    with pytest.raises(FeatureUnavailable, match=r"pip install 'llmos\[chinese\]'"):
        word_steps(Recipe(segment_chinese=True))


def test_chinese_words_are_set_apart():
    """In a process of its own: jieba's sources warn when they are compiled."""
    code = "from llmosd.jobs.data.steps import chinese_segmenter as s; print(s()('我爱北京，ok天安门'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "我 爱 北京 ，ok 天安门"


def test_the_lists_come_with_the_package():
    folder = steps.resources.files("llmosd.jobs.data") / "stop_words"
    assert {path.name for path in folder.iterdir()} == {"english.txt", "chinese.txt"}
