"""Which rows are asked, and that two evaluations of them can be compared."""

import msgspec
import pytest

from llmosd.errors import InvalidField
from llmosd.jobs.data.schema import checked
from llmosd.jobs.evaluating.compare import compare
from llmosd.jobs.evaluating.measure import measure
from llmosd.jobs.evaluating.prepare import prepare
from llmosd.jobs.evaluating.specs import (
    OUTPUTS,
    CompareSpec,
    Example,
    MeasureSpec,
    Output,
    PartSpec,
    PrepareSpec,
    rows_file,
)
from llmosd.store.dataset_writer import DatasetWriter
from llmosd.store.suites import suites


class Silent:
    def report(self, *_):
        pass

    def check_cancelled(self):
        pass


def dataset(folder, kind, rows, splits=None):
    folder.mkdir()
    with DatasetWriter(folder, kind) as writer:
        for at, row in enumerate(rows):
            writer.add(row, splits[at] if splits else "train")
        writer.finish(license_="", source="", lineage={}, recipe=None, report=None)
    return str(folder)


def prepared(tmp_path, parts, **options):
    output = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
    output.mkdir()
    made = prepare(
        PrepareSpec(parts=parts, output=str(output), **{"head": "language", **options}), Silent()
    )
    rows = [
        [
            msgspec.json.decode(line, type=Example)
            for line in (output / rows_file(at)).read_bytes().splitlines()
        ]
        for at in range(len(parts))
    ]
    return output, made.parts, rows


def test_held_out_rows_come_first(tmp_path):
    """Test rows where there are any, else those for validation, else all; or what is asked for."""
    rows = [{"text": f"t{at}"} for at in range(6)]
    whole = dataset(tmp_path / "w", "text", rows)
    split = dataset(tmp_path / "s", "text", rows, ["train", "validation", "test"] * 2)
    _, _, found = prepared(
        tmp_path,
        [
            PartSpec(name="a", data="w", folder=whole),
            PartSpec(name="b", data="s", folder=split),
            PartSpec(name="c", data="s", folder=split, split="train"),
        ],
    )
    assert [[example.row for example in part] for part in found] == [list(range(6)), [2, 5], [0, 3]]


def test_drawn_by_the_seed(tmp_path):
    """As many as asked for, the same for a seed, in their order."""
    folder = dataset(tmp_path / "w", "text", [{"text": f"t{at}"} for at in range(50)])
    part = PartSpec(name="a", data="w", folder=folder)
    drawn = [prepared(tmp_path, [part], most=10, seed=seed)[2][0] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    places = [example.row for example in drawn[0]]
    assert places == sorted(set(places))
    assert len(places) == 10


def test_heads_and_kinds(tmp_path):
    """Labels for those that classify, choices for those that write; grades only by a grade."""
    labelled = dataset(tmp_path / "l", "labelled", [{"text": "t", "label": each} for each in "ab"])
    graded = dataset(tmp_path / "g", "graded", [{"text": "t", "score": 1.0}])
    rated = dataset(
        tmp_path / "r", "rated", [{"prompt": "p", "completion": "c", "desirable": True}]
    )
    part = PartSpec(name="a", data="l", folder=labelled)
    _, parts, _ = prepared(tmp_path, [part], head="classify")
    assert (parts[0].spec.task, parts[0].labels) == ("classify", ["a", "b"])
    assert prepared(tmp_path, [part])[1][0].spec.task == "choose"
    with pytest.raises(InvalidField, match="it gives text"):
        prepared(tmp_path, [PartSpec(name="a", data="g", folder=graded)])
    with pytest.raises(InvalidField, match="no questions"):
        prepared(tmp_path, [PartSpec(name="a", data="r", folder=rated)])
    with pytest.raises(InvalidField, match="are for choose"):
        prepared(tmp_path, [msgspec.structs.replace(part, task="classify")])


def test_every_suite_can_be_asked(tmp_path):
    """Their rows keep the rules of the kinds they are of."""
    for suite in suites():
        _, parts, rows = prepared(tmp_path, [PartSpec(name="s", data=f"suites/{suite.id}")])
        assert len(rows[0]) == parts[0].examples > 8
        for row in suite.rows():
            checked(suite.kind, dict(row))


def judged(tmp_path, part, said):
    output, parts, rows = prepared(tmp_path, [part])
    lines = [Output(part=0, at=at, **each) for at, each in enumerate(said)]
    (output / OUTPUTS).write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    assert len(rows[0]) == len(lines)
    folder = output / "judged"
    folder.mkdir()
    report = measure(MeasureSpec(parts=parts, work=str(output), output=str(folder)), Silent())
    return folder, report.results[0]


def test_compared_on_what_both_answered(tmp_path):
    """Pairs are formed by row; a failed example of either is left out of both."""
    rows = [{"prompt": f"p{at}", "completion": str(at)} for at in range(10)]
    part = PartSpec(
        name="a", data="w", folder=dataset(tmp_path / "w", "pairs", rows), metrics=("exact_match",)
    )
    right = [{"said": {"answer": str(at)}} for at in range(10)]
    wrong = [{"said": {"answer": "x"}} for _ in range(9)] + [{"error": "too long"}]
    first, one = judged(tmp_path, part, right)
    second, two = judged(tmp_path, part, wrong)
    assert (one.judged, two.judged, two.failed) == (10, 9, 1)
    found = compare(CompareSpec(first=str(first), second=str(second)), Silent()).differences
    assert [(each.metric, each.difference, each.examples) for each in found] == [
        ("exact_match", 1.0, 9)
    ]
    assert found[0].p_value < 0.01
    assert found[0].wins == 1.0
    # The control: one against itself differs in nothing.
    same = compare(CompareSpec(first=str(first), second=str(first)), Silent()).differences
    assert (same[0].difference, same[0].wins) == (0.0, 0.5)


def test_other_examples_are_not_compared(tmp_path):
    """One row of the data differs: there is nothing to pair."""
    rows = [{"prompt": f"p{at}", "completion": str(at)} for at in range(4)]
    said = [{"said": {"answer": "x"}}] * 4
    first, _ = judged(
        tmp_path, PartSpec(name="a", data="w", folder=dataset(tmp_path / "w", "pairs", rows)), said
    )
    rows[2] = {"prompt": "other", "completion": "y"}
    second, _ = judged(
        tmp_path, PartSpec(name="a", data="v", folder=dataset(tmp_path / "v", "pairs", rows)), said
    )
    assert compare(CompareSpec(first=str(first), second=str(second)), Silent()).differences == []
