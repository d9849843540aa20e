"""Stems of English words: "connections", "connected" and "connect" are "connect".

Porter, 1980, "An algorithm for suffix stripping", with the changes that NLTK's stemmer has, which
rouge-score uses. The library `snowballstemmer` has the algorithm without them: its stems of one in
forty words of XSum's summaries are others ("always", "aged").
"""

from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise

_VOWELS = frozenset("aeiou")
_IRREGULAR = {
    "skies": "sky", "sky": "sky", "dying": "die", "lying": "lie", "tying": "tie", "news": "news",
    "innings": "inning", "inning": "inning", "outings": "outing", "outing": "outing",
    "cannings": "canning", "canning": "canning", "howe": "howe", "proceed": "proceed",
    "exceed": "exceed", "succeed": "succeed",
}  # fmt: skip

# Steps 2 to 4: a suffix and what takes its place. Of those that fit, the first alone is tried.
_STEP2 = {
    "ational": "ate", "tional": "tion", "enci": "ence", "anci": "ance", "izer": "ize", "bli": "ble",
    "alli": "al", "entli": "ent", "eli": "e", "ousli": "ous", "ization": "ize", "ation": "ate",
    "ator": "ate", "alism": "al", "iveness": "ive", "fulness": "ful", "ousness": "ous",
    "aliti": "al", "iviti": "ive", "biliti": "ble", "fulli": "ful",
}  # fmt: skip
_STEP3 = {
    "icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": "",
}  # fmt: skip
_STEP4 = dict.fromkeys(
    ("al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "sion",
     "tion", "ou", "ism", "ate", "iti", "ous", "ive", "ize"), "",
) | {"sion": "s", "tion": "t"}  # fmt: skip


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """The stem of a lowercase word; words of one or two letters stay as they are."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) <= 2:
        return word
    word = _final_y(_past(_plural(word)))
    word = _derived(word)
    word = _replace(word, _STEP3, 0)
    word = _replace(word, _STEP4, 1)
    return _tidy(word)


def _plural(word: str) -> str:
    """Step 1a."""
    if word.endswith("ies"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("sses"):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _past(word: str) -> str:
    """Step 1b."""
    if word.endswith("ied"):
        return word[:-1] if len(word) == 4 else word[:-2]
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    for suffix in ("ed", "ing"):
        base = word.removesuffix(suffix)
        if base != word and not all(_consonants(base)):
            return _mended(base)
    return word


def _mended(base: str) -> str:
    """What "ed" and "ing" took with them is put back: "hop(p)" and "hop(e)"."""
    if base.endswith(("at", "bl", "iz")):
        return base + "e"
    if len(base) > 1 and base[-1] == base[-2] and _consonants(base)[-1]:
        return base if base[-1] in "lsz" else base[:-1]
    return base + "e" if _measure(base) == 1 and _is_short(base) else base


def _final_y(word: str) -> str:
    """Step 1c."""
    if word.endswith("y") and len(word) > 2 and _consonants(word)[-2]:
        return word[:-1] + "i"
    return word


def _derived(word: str) -> str:
    """Step 2."""
    if word.endswith("alli") and _measure(word[:-4]) > 0:
        return _derived(word[:-2])
    # Before others, as no other suffix of step 2 ends so; the l counts as the stem's.
    if word.endswith("logi"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    return _replace(word, _STEP2, 0)


def _tidy(word: str) -> str:
    """Step 5."""
    if word.endswith("e"):
        base = word[:-1]
        size = _measure(base)
        if size > 1 or (size == 1 and not _is_short(base)):
            word = base
    return word[:-1] if word.endswith("ll") and _measure(word[:-1]) > 1 else word


def _replace(word: str, rules: Mapping[str, str], above: int) -> str:
    """Apply the first rule whose suffix fits, if what is left has a measure above the bound."""
    for suffix, substitute in rules.items():
        if word.endswith(suffix):
            base = word.removesuffix(suffix)
            # For "sion" and "tion" the suffix is "ion" alone: the letter before it is kept.
            kept = base + substitute if substitute in {"s", "t"} else base
            return base + substitute if _measure(kept) > above else word
    return word


def _consonants(word: str) -> list[bool]:
    """For each letter; y is one at the beginning and after a vowel."""
    flags: list[bool] = []
    for letter in word:
        after_consonant = bool(flags) and flags[-1]
        flags.append(letter not in _VOWELS and not (letter == "y" and after_consonant))
    return flags


def _measure(word: str) -> int:
    """How often a vowel is followed by a consonant: 0 in "tree", 1 in "trees", 2 in "private"."""
    return sum(second and not first for first, second in pairwise(_consonants(word)))


def _is_short(word: str) -> bool:
    """Ends as "hop" does, in consonant, vowel, consonant (but w, x, y), or is vowel, consonant."""
    flags = _consonants(word)
    if len(word) == 2:
        return flags == [False, True]
    return flags[-3:] == [True, False, True] and word[-1] not in "wxy"
