"""Versions of datasets on disk: what is written is what is read, and damage is seen."""

import itertools
import json
import struct
from datetime import UTC, datetime

import pytest

from llmosd.errors import DataCorrupt, DatasetNotFound, InternalError, InvalidField, PathNotAllowed
from llmosd.store import dataset_writer
from llmosd.store import datasets as module
from llmosd.store.catalog import Catalog
from llmosd.store.dataset_writer import DatasetWriter
from llmosd.store.datasets import DatasetReader, DatasetStore
from llmosd.store.names import DatasetRef
from llmosd.store.records import DatasetVersionRecord

ROWS = [
    {"text": "b", "label": "é"},
    {"text": "a\nb", "label": "\u2028"},
    {"label": "x", "text": "c"},
]
SPLITS = ["train", "validation", "train"]


def write(folder, rows=ROWS, splits=SPLITS, **more):
    with DatasetWriter(folder, "labelled") as writer:
        for row, split in zip(rows, splits, strict=True):
            writer.add(row, split)
        fixed = {"license_": "MIT", "source": "s", "lineage": {"a": "b"}}
        return writer.finish(**{**fixed, "recipe": None, "report": None, **more})


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "version"
    path.mkdir()
    write(path)
    return path


def test_what_is_written_is_read(folder):
    with DatasetReader(folder) as reader:
        assert len(reader) == 3
        assert reader.kind == "labelled"
        assert [reader.row(at) for at in range(3)] == ROWS
        assert [reader.split_of(at) for at in range(3)] == SPLITS
        assert list(reader.rows()) == list(enumerate(ROWS))
        assert [index for index, _ in reader.rows("train")] == [0, 2]
        assert list(reader.indices("train", 1)) == [2]
        assert list(reader.indices("test")) == []
        for outside in (-1, 3):
            with pytest.raises(IndexError):
                reader.row(outside)


def test_the_format(folder):
    """As documented: other programs may read it."""
    data = (folder / "rows.jsonl").read_bytes()
    assert data.splitlines()[0] == '{"label":"é","text":"b"}'.encode()
    offsets = (folder / "offsets.bin").read_bytes()
    starts = struct.unpack(f"<{len(offsets) // 8}Q", offsets)
    assert (starts[0], starts[-1]) == (0, len(data))
    assert [json.loads(data[a:b]) for a, b in itertools.pairwise(starts)] == ROWS
    assert (folder / "splits.bin").read_bytes() == bytes([0, 1, 0])


def test_the_digest_is_of_the_content(tmp_path):
    def digest(rows=ROWS, splits=SPLITS, **more):
        path = tmp_path / str(len(list(tmp_path.iterdir())))
        path.mkdir()
        return write(path, rows, splits, **more).digest

    same = digest()
    assert digest(license_="other", source="other", lineage={}) == same
    assert digest([dict(reversed(row.items())) for row in ROWS]) == same
    assert digest(ROWS[::-1]) != same
    assert digest(splits=["train", "test", "train"]) != same


def test_giving_pages_back_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_RELEASE", 8192)
    monkeypatch.setattr(dataset_writer, "_WRITE_BACK", 8192)
    rows = [{"text": f"{n} " * 100, "label": "x"} for n in range(500)]
    write(tmp_path, rows, ["train"] * 500)
    with DatasetReader(tmp_path) as reader:
        assert [row for _, row in reader.rows()] == rows
        assert [row for _, row in reader.rows()] == rows


@pytest.mark.parametrize("name", ["rows.jsonl", "offsets.bin", "splits.bin", "manifest.json"])
def test_damage_is_seen(folder, name):
    data = (folder / name).read_bytes()
    for wrong in (data[:-3], data + b"x", b""):
        (folder / name).write_bytes(wrong)
        with pytest.raises(DataCorrupt):
            DatasetReader(folder)
    (folder / name).unlink()
    with pytest.raises(DataCorrupt, match=r"missing"):
        DatasetReader(folder)


def test_damage_inside_is_seen_when_read(folder):
    data = bytearray((folder / "rows.jsonl").read_bytes())
    data[0] = ord("x")
    (folder / "rows.jsonl").write_bytes(data)
    (folder / "splits.bin").write_bytes(bytes([0, 9, 0]))
    with DatasetReader(folder) as reader:
        with pytest.raises(DataCorrupt, match="row 0 of the dataset is damaged"):
            reader.row(0)
        with pytest.raises(DataCorrupt):
            reader.split_of(1)
        assert reader.row(1) == ROWS[1]


def test_publish_and_clean(tmp_path):
    """A crash before the catalog knew of it leaves nothing behind."""
    store = DatasetStore(tmp_path)
    for number in (1, 2):
        staging = store.stage()
        write(staging.version)
        store.publish("a", number, staging)
    left = store.stage()
    write(left.version)
    (left.incoming / "half").write_bytes(b"x")
    again = DatasetStore(tmp_path)
    assert again.clean([("a", 1)]) == ["a/2"]
    assert sorted(path.name for path in (tmp_path / "datasets").rglob("*")) == sorted(
        [".staging", "a", "1", *(path.name for path in again.path("a", 1).iterdir())]
    )
    with again.open("a", 1) as reader:
        assert len(reader) == 3
    assert again.manifest("a", 1).license == "MIT"
    again.delete("a", 1)
    assert [path.name for path in (tmp_path / "datasets").iterdir()] == [".staging"]


def test_an_incomplete_version_is_not_published(tmp_path):
    store = DatasetStore(tmp_path)
    staging = store.stage()
    with pytest.raises(DataCorrupt, match="no manifest"):
        store.publish("a", 1, staging)
    write(staging.version)
    (staging.version / "splits.bin").write_bytes(b"")
    with pytest.raises(DataCorrupt, match="size"):
        store.publish("a", 1, staging)
    assert not store.path("a", 1).exists()


def test_names():
    assert DatasetRef.parse("datasets/a/versions/2") == DatasetRef("a", 2)
    assert DatasetRef.parse("a-b.c") == DatasetRef("a-b.c")
    assert str(DatasetRef("a", 2)) == "datasets/a/versions/2"
    assert str(DatasetRef("a")) == "datasets/a"
    for bad in ("", "A", "a/versions/0", "a@live", "models/a", "a b", "datasets/"):
        with pytest.raises(InvalidField, match="dataset: must be"):
            DatasetRef.parse(bad)
    for path in ("/etc/passwd", "~/a", "s3://b"):
        with pytest.raises(PathNotAllowed, match="use datasets/ID"):
            DatasetRef.parse(path)


@pytest.fixture
def table(tmp_path):
    with Catalog(tmp_path / "catalog.db") as catalog:
        yield catalog.datasets


def record(dataset_id="a", version=1, **more):
    fixed = {"kind": "text", "row_count": 3, "byte_size": 9, "digest": "sha256:0"}
    moment = datetime(2026, 1, 2, 3, 4, 5, 6, UTC)
    return DatasetVersionRecord(
        dataset_id=dataset_id, version=version, create_time=moment, **{**fixed, **more}
    )


def test_the_newest_version_is_what_a_name_means(table):
    assert table.next_version("a") == 1
    table.add_version(record())
    table.add_version(record(version=2, license="MIT"))
    table.add_version(record("b"))
    assert table.resolve(DatasetRef("a")) == record(version=2, license="MIT")
    assert table.resolve(DatasetRef("a", 1)) == record()
    assert table.dataset("a").newest.version == 2
    assert [(d.dataset_id, d.version_count) for d in table.datasets(10)] == [("a", 2), ("b", 1)]
    assert [d.dataset_id for d in table.datasets(10, "a")] == ["b"]
    assert [r.name for r in table.versions(None, 2, ("a", 1))] == [
        "datasets/a/versions/2", "datasets/b/versions/1",
    ]  # fmt: skip
    with pytest.raises(InternalError, match="was there before"):
        table.add_version(record(version=2))


def test_deleting(table):
    for number in (1, 2):
        table.add_version(record(version=number))
    table.delete_version("a", 2)
    assert table.resolve(DatasetRef("a")).version == 1
    assert table.next_version("a") == 3
    table.delete_version("a", 1)
    with pytest.raises(DatasetNotFound, match='dataset "a" is not there'):
        table.dataset("a")
    table.add_version(record())
    table.delete_dataset("a")
    assert table.datasets(9) == []


def test_what_is_not_there(table):
    table.add_version(record())
    with pytest.raises(DatasetNotFound, match='"a" has no version 7'):
        table.resolve(DatasetRef("a", 7))
    for call in (table.delete_dataset, lambda name: table.versions(name, 1)):
        with pytest.raises(DatasetNotFound, match="llmos dataset add"):
            call("b")
