"""Real pairs of texts: what Debian's packages say of themselves (the lists that apt reads).

Translations of short descriptions, and long descriptions with their short ones. A package's
description is known by its MD5 sum in all languages.
"""

import bz2
import lzma
import random
import re
import urllib.request
from pathlib import Path

_PLACE = "http://deb.debian.org/debian/dists/bookworm/main/i18n/"
# English is kept in one format, the rest in another.
_FORMATS = {"en": (".xz", lzma.open), "de": (".bz2", bz2.open)}
_CACHE = Path(__file__).parents[1] / "build/debian"
_BLOCK = re.compile(
    r"Package: \S+\nDescription-md5: (\S+)\nDescription-\w+: (.*)\n((?: .*(?:\n|\Z))*)"
)


def translations(language="de", *, held_out=500):
    """(training pairs, held-out pairs) of short descriptions, English first; no text is in both."""
    english, other = _read("en"), _read(language)
    pairs = {english[key][0]: other[key][0] for key in other if key in english}
    return _split([pair for pair in pairs.items() if pair[0] != pair[1]], held_out)


def summaries(*, held_out=500, longest=600):
    """(training pairs, held-out pairs) of long descriptions, cut, and short ones."""
    pairs = {}
    for short, long in _read("en").values():
        text = " ".join(long.split()).replace(" . ", " ")
        if len(text) > len(short):
            pairs[text[:longest].strip()] = short
    return _split(list(pairs.items()), held_out)


def _split(pairs, held_out):
    """By the whole text, and targets that nobody has seen either: series of packages are alike."""
    rng = random.Random(0)
    pairs = sorted(pairs)
    rng.shuffle(pairs)
    test, train = pairs[:held_out], pairs[held_out:]
    seen = {target for _, target in test} | {source for source, _ in test}
    return [pair for pair in train if not seen & set(pair)], test


def _read(language):
    """{MD5 sum: (short, long)}."""
    suffix, opened = _FORMATS[language]
    file = _CACHE / f"Translation-{language}{suffix}"
    if not file.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(".partial")
        urllib.request.urlretrieve(_PLACE + file.name, partial)
        partial.rename(file)
    with opened(file, "rt", encoding="utf-8") as lines:
        text = lines.read()
    return {match[1]: (match[2].strip(), match[3]) for match in _BLOCK.finditer(text)}
