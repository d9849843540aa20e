"""Rows that are right are kept as they are; what is wrong is named by file and line."""

import json
import os
import subprocess
import sys
import time

import pytest

from llmosd.errors import InvalidDataset, OperationCancelled
from llmosd.jobs.data import ingest as module
from llmosd.jobs.data.ingest import MAX_ROW

GOOD = {
    "text": {"text": "a"},
    "chat": {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
    "pairs": {"prompt": "a", "completion": "b"},
    "labelled": {"text": "a", "label": "b"},
    "graded": {"text": "a", "score": 0.5},
    "preference": {"prompt": "a", "chosen": "b", "rejected": "c"},
    "rated": {"prompt": "a", "completion": "b", "desirable": True},
}


def refused(workshop, data, kind="text", name="a.jsonl", **more):
    """The violations, as {place: what is wrong}."""
    with pytest.raises(InvalidDataset) as caught:
        workshop.ingest({name: data}, kind, **more)
    found = caught.value
    assert found.violations[0].field in found.message
    return {violation.field: violation.description for violation in found.violations}


@pytest.mark.parametrize("kind", GOOD)
def test_every_kind(workshop, kind):
    folder = workshop.dataset([GOOD[kind]], kind)
    assert workshop.read(folder) == [("train", GOOD[kind])]
    assert workshop.result.manifest.kind == kind


@pytest.mark.parametrize("kind", GOOD)
def test_every_field_is_needed_and_no_other_is_known(workshop, kind):
    good = GOOD[kind]
    rows = [{k: v for k, v in good.items() if k != name} for name in good]
    rows += [{**good, "more": 1}]
    rows += [{**good, name: None} for name in good]
    found = refused(workshop, b"\n".join(json.dumps(row).encode() for row in rows), kind)
    assert len(found) == len(rows)
    for at, name in enumerate(good):
        assert found[f"a.jsonl:{at + 1}"] == f'field "{name}" is missing'
    assert 'unknown field "more"' in found[f"a.jsonl:{len(good) + 1}"]


BAD = {
    b"[1]": 'must be an object with "text", "label"',
    b'"text"': "must be an object",
    b'{"text": "a", "label": true}': "label must be a string or a whole number",
    b'{"text": "a", "label": 1.5}': "label must be a string or a whole number",
    b'{"text": " \\n", "label": "b"}': "text is empty",
    b'{"text": "a", "label": ""}': "label is empty",
    b'{"text": "a", "text": "b", "label": "c"}': 'field "text" is there twice',
    b'{"text": "\xff", "label": "b"}': "not UTF-8: byte 11 of the row",
    b'{"text": "a\\u0000", "label": "b"}': "text holds a NUL character",
    b'{"text": "a\x00", "label": "b"}': "holds a NUL byte",
    b'{"text": "\\ud83d", "label": "b"}': "half a character",
    b'{"text": "a", "label": NaN}': "NaN is not JSON",
    b'{"text": "a", "label": ' + b"9" * 5000 + b"}": "too many digits",
    b'{"text": "a", "label"': "is not JSON: Expecting ':' delimiter at column 22",
    b"[" * 100_000: "nested too deeply",
    b'{"text": ["a"], "label": "b"}': "text must be a string",
}


def test_what_can_be_wrong_with_a_row(workshop):
    found = refused(workshop, b"\n".join(BAD), "labelled")
    assert len(found) == len(BAD) == 16
    for at, (line, words) in enumerate(BAD.items(), 1):
        assert words in found[f"a.jsonl:{at}"], line[:40]


MESSAGES = {
    "[]": "at least one message",
    '["a"]': "messages[0] must be an object",
    '[{"role": "user"}]': 'messages[0]: field "content" is missing',
    '[{"role": "bot", "content": "a"}]': "messages[0].role must be one of system, user, assistant",
    '[{"role": "user", "content": 1}]': "messages[0].content must be a string",
    '[{"role": "user", "content": "a", "name": "x"}]': 'messages[0]: unknown field "name"',
    '[{"role": "user", "content": "a"}]': "no turn of the assistant",
}


def test_what_can_be_wrong_with_a_conversation(workshop):
    rows = "\n".join(f'{{"messages": {each}}}' for each in MESSAGES)
    found = refused(workshop, rows.encode(), "chat")
    assert [words in found[f"a.jsonl:{at}"] for at, words in enumerate(MESSAGES.values(), 1)] == [
        True
    ] * len(MESSAGES)


@pytest.mark.parametrize("score", ["1e999", "-1e999", "true", '"1"', "1" * 400])
def test_scores_are_finite_numbers(workshop, score):
    found = refused(workshop, f'{{"text": "a", "score": {score}}}'.encode(), "graded")
    assert "number" in found["a.jsonl:1"]


def test_only_the_first_sixteen_are_listed(workshop):
    with pytest.raises(InvalidDataset, match="at least 16 rows are wrong, and nothing was kept"):
        workshop.ingest({"a.jsonl": b"x\n" * 1000})
    assert len(refused(workshop, b"x\n" * 1000)) == 16


def test_lines_are_counted_through_empty_ones_and_files(workshop):
    with pytest.raises(InvalidDataset) as caught:
        workshop.ingest({"a.jsonl": b'{"text": "a"}\n', "b.jsonl": b'\n\r\n{"text": "b"}\n{}\n'})
    assert [v.field for v in caught.value.violations] == ["b.jsonl:4"]


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf\n", b"  \n"])
def test_an_empty_dataset_is_refused(workshop, data):
    for name in ("a.jsonl", "a.txt"):
        with pytest.raises(InvalidDataset, match="hold no rows"):
            workshop.ingest({name: data})


def test_rows_up_to_the_limit(workshop, monkeypatch):
    """One byte more is refused, and the lines behind it are still found."""
    monkeypatch.setattr(module, "MAX_ROW", 1 << 20)
    frame = len(b'{"text":""}')
    longest = b'{"text":"' + b"a" * ((1 << 20) - frame) + b'"}'
    folder = workshop.ingest({"a.jsonl": longest + b"\n" + longest})
    assert [len(text) for text in workshop.texts(folder)] == [(1 << 20) - frame] * 2
    longer = longest.replace(b'"}', b'a"}')
    found = refused(workshop, longer + b"\n" + b"b" * (5 << 20) + b"\nx\n" + longer)
    assert list(found) == ["a.jsonl:1", "a.jsonl:2", "a.jsonl:3", "a.jsonl:4"]
    assert [text.startswith("is longer than 1 MiB") for text in found.values()] == [
        True, True, False, True,
    ]  # fmt: skip


def test_the_real_limit(workshop):
    assert MAX_ROW == 16 << 20
    found = refused(workshop, b"a" * (MAX_ROW + 1), name="a.txt")
    assert found["a.txt:1"].startswith("is longer than 16 MiB; send it as .jsonl")


def test_a_text_file_is_one_text(workshop):
    data = "\ufeffOne\n\ntwo\n".encode()
    assert workshop.texts(workshop.ingest({"a.txt": data})) == ["One\n\ntwo\n"]
    assert workshop.texts(workshop.ingest({"a.txt": data}, one_per_line=True)) == ["One", "two"]


def test_the_canonical_form(workshop):
    """Order of fields, white space and escapes make no difference; content does."""
    one = workshop.ingest({"a.jsonl": b'{"text": "\\u00e9", "label": 1}\n'}, "labelled")
    digest = workshop.result.manifest.digest
    two = workshop.ingest({"b.jsonl": '{"label":"1","text":"é"}\r\n\n'.encode()}, "labelled")
    assert workshop.result.manifest.digest == digest
    for name in ("rows.jsonl", "offsets.bin", "splits.bin"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    assert (one / "rows.jsonl").read_text() == '{"label":"1","text":"é"}\n'
    workshop.ingest({"b.jsonl": '{"label":"2","text":"é"}'.encode()}, "labelled")
    assert workshop.result.manifest.digest != digest


def test_cancelling(workshop):
    workshop.told.cancel = OperationCancelled("stop")
    with pytest.raises(OperationCancelled):
        workshop.dataset([{"text": "a"}])


def test_progress_ends_at_the_files_size(workshop):
    workshop.ingest({"a.jsonl": b'{"text":"a"}\n' * 3, "b.txt": b"abc"})
    assert workshop.told.reports[-1] == ("check", 42, 42, "bytes")


def test_a_duplicate_among_many_fields_takes_no_time(workshop):
    """Looking for it is not quadratic."""
    fields = ",".join(f'"{n}":1' for n in range(200_000))
    began = time.monotonic()
    found = refused(workshop, f'{{{fields},"199999":2}}'.encode())
    assert 'field "199999" is there twice' in found["a.jsonl:1"]
    assert time.monotonic() - began < 20


MEASURED = """
import sys, threading
from pathlib import Path
from llmosd.jobs.data.ingest import ingest
from llmosd.jobs.data.preprocess import preprocess
from llmosd.jobs.messages import IngestSpec, UploadedFile
from llmosd.jobs.data.specs import PreprocessSpec, Recipe, SplitSpec

class Silent:
    def report(self, *_): pass
    def check_cancelled(self): pass

def peak(key="VmHWM"):
    status = Path("/proc/self/status").read_text()
    return int(status.partition(key + ":")[2].split()[0]) * 1024

file, checked, cleaned = sys.argv[1:]
before = peak("VmRSS")
files = {"a.jsonl": UploadedFile(file, "0")}
ingest(IngestSpec(files=files, kind="text", output=checked), Silent())
print(before, peak())
recipe = Recipe(unicode="nfc", deduplicate=True, split=SplitSpec(validation=0.1))
preprocess(PreprocessSpec(source=checked, output=cleaned, recipe=recipe), Silent())
print(before, peak())
"""


def test_memory_does_not_grow_with_the_file(tmp_path):
    """60 MB in 100 MB of growth; with LLMOS_DATASET_GB=1, 1 GB in 300 MB, all counted."""
    gigabytes = float(os.environ.get("LLMOS_DATASET_GB", "0"))
    size = int(gigabytes * 1e9) or 60_000_000
    file = tmp_path / "a.jsonl"
    words = [" ".join(f"word{(n * 31 + at * 7) % 5003}" for at in range(400)) for n in range(500)]
    with file.open("w") as out:
        written = row = 0
        while written < size:
            written += out.write(f'{{"text": "{row} {words[row % 500]}"}}\n')
            row += 1
    folders = [tmp_path / "checked", tmp_path / "cleaned"]
    for folder in folders:
        folder.mkdir()
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, file, *folders], capture_output=True, text=True, check=True
    )
    measured = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    print([f"{peak >> 20} MiB" for _, peak in measured], f"{time.monotonic() - began:.0f} s")
    for before, peak in measured:
        assert peak < 300e6
        assert peak - before < (250e6 if gigabytes else 100e6)
