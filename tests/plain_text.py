"""A plain text of few words, for trainings that need no other; `import plain_text` finds it."""

import random

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "and",
    "the",
    "dog",
    "lay",
    "by",
    "door",
    "while",
    "rain",
    "fell",
]


def plain_text(seed=0, count=4000):
    """So many words, drawn; the same seed gives the same text."""
    draw = random.Random(seed)
    return " ".join(draw.choice(WORDS) for _ in range(count))
