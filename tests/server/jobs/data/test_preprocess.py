"""Recipes on datasets: what is kept, where it goes, and that it is the same every time."""

import pytest

from llmosd.errors import InvalidDataset, OperationCancelled
from llmosd.jobs.data.preprocess import mistyped, split_of
from llmosd.jobs.data.specs import NoiseSpec, SplitSpec
from llmosd.store.datasets import DatasetReader

SENTENCE = "The quick brown fox jumps over the lazy dog by the river, number"


def many(count, start=0):
    """Texts that have little in common."""
    return [{"text": f"{n * 7919 % 10007} " + " ".join(str(n * p) for p in (97, 193, 389, 769))} for n in range(start, start + count)]  # fmt: skip


def test_an_empty_recipe_copies(workshop):
    source = workshop.dataset(
        [{"text": "The CAT!"}, {"text": "joe@example.com"}], license="CC0-1.0"
    )
    digest = workshop.result.manifest.digest
    folder = workshop.clean(source)
    assert workshop.texts(folder) == ["The CAT!", "joe@example.com"]
    manifest = workshop.result.manifest
    assert (manifest.digest, manifest.license) == (digest, "CC0-1.0")
    assert manifest.lineage == {"source": "datasets/a/versions/1", "source_digest": digest}


def test_steps_reach_the_right_fields(workshop):
    chat = {
        "messages": [{"role": "user", "content": "HI"}, {"role": "assistant", "content": "YES"}]
    }
    cases = {
        "chat": (chat, {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]}),
        "pairs": ({"prompt": "A", "completion": "B"}, {"prompt": "a", "completion": "b"}),
        "labelled": ({"text": "A", "label": "POS"}, {"text": "a", "label": "POS"}),
        "graded": ({"text": "A", "score": 1.0}, {"text": "a", "score": 1.0}),
        "preference": (
            {"prompt": "A", "chosen": "B", "rejected": "C"},
            {"prompt": "a", "chosen": "b", "rejected": "c"},
        ),
        "rated": (
            {"prompt": "A", "completion": "B", "desirable": False},
            {"prompt": "a", "completion": "b", "desirable": False},
        ),
    }  # fmt: skip
    for kind, (row, expected) in cases.items():
        folder = workshop.clean(workshop.dataset([row], kind), lowercase=True)
        assert workshop.read(folder) == [("train", expected)]


def test_personal_data_is_replaced_before_it_is_changed(workshop):
    source = workshop.dataset([{"text": "Mail JOE@Example.com, now!"}, {"text": "Nothing"}])
    folder = workshop.clean(
        source, personal_data=("email",), lowercase=True, strip_punctuation=True
    )
    assert workshop.texts(folder) == ["mail [EMAIL] now", "nothing"]
    report = workshop.report(folder)
    assert report["personal_data"] == {"email": 1}
    assert report["rows_with_personal_data"] == 1


def test_rows_that_a_step_empties_are_dropped_and_counted(workshop):
    source = workshop.dataset([{"text": "..."}, {"text": "cat"}, {"text": "!?"}])
    folder = workshop.clean(source, strip_punctuation=True)
    assert workshop.texts(folder) == ["cat"]
    report = workshop.report(folder)
    assert (report["rows_read"], report["rows_emptied"], report["rows_written"]) == (3, 2, 1)
    with pytest.raises(InvalidDataset, match="leaves none of the 1 rows"):
        workshop.clean(workshop.dataset([{"text": "..."}]), strip_punctuation=True)


def test_duplicates(workshop):
    source = workshop.dataset([{"text": t} for t in ("A b", "a  B\n", "a b c", "Ａ b", "ab")])
    folder = workshop.clean(source, deduplicate=True)
    assert workshop.texts(folder) == ["A b", "a b c", "ab"]
    assert workshop.report(folder)["duplicates"] == 2


def test_equal_texts_with_other_labels_are_no_duplicates(workshop):
    rows = [{"text": "a", "label": label} for label in ("x", "y", "x")]
    folder = workshop.clean(workshop.dataset(rows, "labelled"), deduplicate=True)
    assert [row["label"] for _, row in workshop.read(folder)] == ["x", "y"]


def test_near_duplicates(workshop):
    rows = [{"text": f"{SENTENCE} one"}, *many(5), {"text": f"{SENTENCE} two!"}, {"text": "short"}]
    folder = workshop.clean(workshop.dataset(rows), near_duplicates=0.8)
    kept = workshop.texts(folder)
    assert kept == [row["text"] for row in rows if "two!" not in row["text"]]
    assert workshop.report(folder)["near_duplicates"] == 1
    # The control: a threshold that they do not reach.
    assert len(workshop.texts(workshop.clean(workshop.dataset(rows), near_duplicates=0.99))) == 8


def test_similar_rows_with_other_labels_share_a_split(workshop):
    rows = [{"text": f"{SENTENCE} {'again and again' * 5} {n}", "label": str(n)} for n in range(40)]
    source = workshop.dataset(rows, "labelled")
    split = SplitSpec(validation=0.5)
    apart = workshop.read(workshop.clean(source, split=split))
    assert {split for split, _ in apart} == {"train", "validation"}
    together = workshop.read(workshop.clean(source, split=split, near_duplicates=0.7))
    assert len(together) == 40
    assert len({split for split, _ in together}) == 1


def test_scratch_is_gone(workshop):
    folder = workshop.clean(workshop.dataset(many(20)), near_duplicates=0.8)
    assert not [path for path in folder.parent.iterdir() if "scratch" in path.name]
    files = {
        "manifest.json",
        "rows.jsonl",
        "offsets.bin",
        "splits.bin",
        "recipe.json",
        "report.json",
    }
    assert {path.name for path in folder.iterdir()} == files


def test_splits_have_their_shares(workshop):
    folder = workshop.clean(workshop.dataset(many(2000)), split=SplitSpec(validation=0.1, test=0.2))
    counts = workshop.result.manifest.splits
    # Three standard deviations of a binomial.
    assert abs(counts["validation"] - 200) < 41
    assert abs(counts["test"] - 400) < 54
    with DatasetReader(folder) as reader:
        assert len(list(reader.rows("test"))) == counts["test"]


def test_a_row_stays_in_its_split_when_rows_are_added(workshop):
    split = SplitSpec(validation=0.3, salt="s")
    before = {row["text"]: s for s, row in workshop.read(workshop.clean(workshop.dataset(many(100)), split=split))}  # fmt: skip
    more = many(50, start=1000) + many(100)
    after = {row["text"]: s for s, row in workshop.read(workshop.clean(workshop.dataset(more), split=split))}  # fmt: skip
    assert {text: after[text] for text in before} == before
    other = workshop.clean(workshop.dataset(many(100)), split=SplitSpec(validation=0.3, salt="t"))
    assert {row["text"]: s for s, row in workshop.read(other)} != before
    assert split_of("a", split) == split_of("a", split)


def test_rows_keep_their_splits_without_one(workshop):
    first = workshop.clean(workshop.dataset(many(100)), split=SplitSpec(validation=0.3))
    second = workshop.clean(first, lowercase=True)
    assert [s for s, _ in workshop.read(second)] == [s for s, _ in workshop.read(first)]


def test_noise(workshop):
    source = workshop.dataset(
        [{"prompt": f"the quick brown fox {n}", "completion": f"lazy dog {n}"} for n in range(50)],
        "pairs",
    )
    recipe = {"noise": NoiseSpec(probability=0.2, copies=2), "split": SplitSpec(test=0.3)}
    rows = workshop.read(workshop.clean(source, **recipe))
    added = workshop.report(workshop.root / str(workshop.count))["rows_added"]
    assert len(rows) == 50 + added
    originals = {f"lazy dog {n}": f"the quick brown fox {n}" for n in range(50)}
    noisy = [(s, r) for s, r in rows if r["prompt"] != originals[r["completion"]]]
    assert len(noisy) == added > 50
    assert {s for s, _ in noisy} == {"train"}  # and what is to be learned is not mistyped
    again = workshop.clean(source, **recipe)
    assert workshop.read(again) == rows
    other = {**recipe, "noise": NoiseSpec(probability=0.2, copies=2, seed=1)}
    assert workshop.read(workshop.clean(source, **other)) != rows


def test_mistyped():
    import random

    text = "abcdefghij" * 100
    assert mistyped(text, 0.0, random.Random(0)) == text
    result = mistyped(text, 0.2, random.Random(0))
    assert len(text) * 0.8 < len(result) < len(text)
    assert set(result) == set(text)
    assert mistyped("ab", 1.0, random.Random(4)) in {"", "ba"}


EVERYTHING = {
    "unicode": "nfkc", "personal_data": ("email", "phone"), "lowercase": True,
    "stop_words": "english", "strip_punctuation": True, "deduplicate": True, "near_duplicates": 0.8,
    "split": SplitSpec(validation=0.2), "noise": NoiseSpec(probability=0.1),
}  # fmt: skip


def test_the_same_recipe_gives_the_same_digest(workshop):
    rows = many(60) + [{"text": f"{SENTENCE} {n}, mail a{n}@b.com"} for n in range(20)]
    digests = []
    for _ in range(2):
        workshop.clean(workshop.dataset(rows), **EVERYTHING)
        digests.append(workshop.result.manifest.digest)
    assert digests[0] == digests[1]
    workshop.clean(workshop.dataset(rows), **{**EVERYTHING, "split": SplitSpec(validation=0.3)})
    assert workshop.result.manifest.digest != digests[0]


def test_cancelling(workshop):
    source = workshop.dataset(many(3))
    workshop.told.cancel = OperationCancelled("stop")
    with pytest.raises(OperationCancelled):
        workshop.clean(source, lowercase=True)
