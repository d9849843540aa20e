"""MinHash proposes, Jaccard decides: measured against comparing everything with everything."""

import random

import numpy as np
import pytest

from llmosd.jobs.data.similar import SimilarRows, _bands, _Pieces, normal_form


def pieces(text):
    text = text if len(text) >= 5 else text + "\0" * (5 - len(text))
    return {text[at : at + 5] for at in range(len(text) - 4)}


def jaccard(one, two):
    return len(pieces(one) & pieces(two)) / len(pieces(one) | pieces(two))


def found(texts, threshold, tmp_path, told):
    """The rows that would be dropped, keeping the first of each group."""
    name = tmp_path / f"{len(list(tmp_path.iterdir()))}.bin"
    with SimilarRows(name, threshold) as similar:
        for text in texts:
            similar.add(text)
        matches = similar.matches(lambda index: texts[index], told)
        dropped = {}
        pending = next(matches, None)
        while pending is not None:
            dropped[pending[0]] = pending[1]
            try:
                pending = matches.send(False)
            except StopIteration:
                pending = None
        return dropped


def corpus(count, seed=7):
    """Sentences, and changed copies of some."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghijklmnop", k=rng.randint(3, 9))) for _ in range(400)]
    texts = []
    for _ in range(count):
        if texts and rng.random() < 0.3:
            changed = rng.choice(texts).split()
            for _ in range(rng.randint(0, 6)):
                changed[rng.randrange(len(changed))] = rng.choice(words)
            texts.append(" ".join(changed))
        else:
            texts.append(" ".join(rng.choices(words, k=rng.randint(15, 40))))
    return texts


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.95])
def test_against_comparing_all(tmp_path, make_told, threshold):
    texts = corpus(300)
    kept, expected = [], set()
    for at, text in enumerate(texts):
        if any(jaccard(text, texts[other]) >= threshold for other in kept):
            expected.add(at)
        else:
            kept.append(at)
    assert len(expected) > 10
    dropped = found(texts, threshold, tmp_path, make_told())
    # What is dropped is never wrong; what is missed is rare.
    for row, like in dropped.items():
        assert all(jaccard(texts[row], texts[other]) >= threshold for other in like)
    assert len(expected - set(dropped)) <= 0.05 * len(expected)


def test_bands_find_pairs_at_the_threshold():
    for threshold in np.arange(0.3, 1.0, 0.05):
        bands, rows = _bands(threshold)
        assert bands * rows <= 128
        assert rows == 1 or 1 - (1 - threshold**rows) ** bands >= 0.95


def test_pieces_measure_jaccard():
    one, two = "the quick brown fox jumps over the lazy dog", "the quick brown cat jumps over it"
    assert _Pieces(one).similarity(_Pieces(two)) == pytest.approx(jaccard(one, two))
    assert _Pieces("ab").similarity(_Pieces("ab")) == 1
    assert _Pieces("ab").similarity(_Pieces("ac")) == 0


def test_long_texts_are_compared_by_a_sample():
    rng = random.Random(1)
    one = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=600_000))
    two = one[:450_000] + "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=150_000))
    sampled = _Pieces(one).similarity(_Pieces(two))
    assert len(_Pieces(one).hashes) < 1 << 18
    assert sampled == pytest.approx(jaccard(one, two), abs=0.01)
    assert _Pieces(one).similarity(_Pieces(one)) == 1


def test_many_equal_rows_take_linear_time(tmp_path, make_told):
    dropped = found(["the same text again and again"] * 3000, 0.9, tmp_path, make_told())
    assert dropped == {row: [0] for row in range(1, 3000)}


def test_nothing_to_compare(tmp_path, make_told):
    assert found([], 0.8, tmp_path, make_told()) == {}
    assert found(["one text"], 0.8, tmp_path, make_told()) == {}


def test_normal_form():
    assert normal_form("  The\n\nＣＡＴ ") == normal_form("the cat") == "the cat"
    assert normal_form("the cat") != normal_form("thecat")
