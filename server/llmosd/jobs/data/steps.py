"""The steps of a recipe that change a text; each a function from text to text."""

import re
import unicodedata
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module, resources
from typing import Literal

from llmosd.errors import FeatureUnavailable
from llmosd.jobs.data.personal_data import PLACEHOLDER
from llmosd.jobs.data.specs import Recipe

Step = Callable[[str], str]


class _PunctuationToSpace(dict[int, str]):
    """A table for str.translate that learns the characters it meets."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        punctuation = char in _SYMBOLS or unicodedata.category(char).startswith("P")
        self[code] = " " if punctuation else char
        return self[code]


_WORD = re.compile(r"\w+(?:['\u2019]\w+)*")
_SPACES = re.compile(r"[ \t]{2,}")
_AROUND_LINES = re.compile(r"[ \t]*\n[ \t]*")
_APOSTROPHE = re.compile(r"(?<=\w)['\u2019](?=\w)")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0002ebef]+")
# What Unicode calls symbols, and people call punctuation.
_SYMBOLS = frozenset("$+<=>^`|~")
_PUNCTUATION = _PunctuationToSpace()


def word_steps(recipe: Recipe) -> list[Step]:
    """The steps after personal data was replaced; they leave [EMAIL] and the like alone.

    Raises FeatureUnavailable where a step needs a package that is not installed.
    """
    steps: list[Step] = []
    if recipe.lowercase:
        steps.append(str.lower)
    if recipe.segment_chinese:
        steps.append(chinese_segmenter())
    if recipe.stop_words:
        steps.append(partial(without_stop_words, language=recipe.stop_words))
    if recipe.strip_punctuation:
        steps.append(without_punctuation)
    return [partial(_between_placeholders, step=step) for step in steps]


def normalized(text: str, form: Literal["nfc", "nfkc"]) -> str:
    """Unicode normalization."""
    return unicodedata.normalize("NFC" if form == "nfc" else "NFKC", text)


def without_stop_words(text: str, language: Literal["english", "chinese"]) -> str:
    """The text without the language's most frequent words."""
    words = stop_words(language)

    def kept(match: re.Match[str]) -> str:
        return "" if match[0].lower().replace("\u2019", "'") in words else match[0]

    return _tidied(_WORD.sub(kept, text))


def without_punctuation(text: str) -> str:
    """Punctuation becomes a space, an apostrophe inside a word nothing."""
    return _tidied(_APOSTROPHE.sub("", text).translate(_PUNCTUATION))


def chinese_segmenter() -> Step:
    """Sets Chinese words apart by spaces. Raises FeatureUnavailable without jieba."""
    try:
        jieba = import_module("jieba")
    except ImportError:
        raise FeatureUnavailable(
            "segment_chinese needs the package jieba; install it: pip install 'llmos[chinese]'"
        ) from None
    # Its notes go to a logger, on standard error, where they would look like faults.
    jieba.setLogLevel(60)

    def segment(text: str) -> str:
        spaced = _HAN.sub(lambda run: " " + " ".join(jieba.cut(run[0])) + " ", text)
        return _tidied(spaced)

    return segment


@cache
def stop_words(language: str) -> frozenset[str]:
    """Our list of a language, in lower case."""
    file = resources.files("llmosd.jobs.data") / "stop_words" / f"{language}.txt"
    return frozenset(file.read_text("utf-8").split())


def _between_placeholders(text: str, step: Step) -> str:
    """`step` on what is not a placeholder of personal data."""
    if "[" not in text or not PLACEHOLDER.search(text):
        return step(text)
    parts, at = [], 0
    for match in PLACEHOLDER.finditer(text):
        parts += [step(text[at : match.start()]), match[0]]
        at = match.end()
    parts.append(step(text[at:]))
    return " ".join(filter(None, parts)) if step is not str.lower else "".join(parts)


def _tidied(text: str) -> str:
    """One space where several are left, and none around lines."""
    return _AROUND_LINES.sub("\n", _SPACES.sub(" ", text)).strip(" \t")
