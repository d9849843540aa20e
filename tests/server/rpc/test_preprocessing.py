"""What PreprocessDataset's job publishes: one version, wherever a crash cut it off."""

import asyncio
from types import SimpleNamespace

import msgspec
import pytest

from factory import Silent
from llmosd.jobs.data.preprocess import preprocess
from llmosd.jobs.data.specs import Recipe
from llmosd.rpc.datasets import Datasets
from llmosd.rpc.preprocessing import KIND, Preprocessing, PreprocessOrder
from llmosd.store.catalog import Catalog
from llmosd.store.dataset_writer import DatasetWriter
from llmosd.store.datasets import DatasetStore
from llmosd.store.records import DatasetVersionRecord, now
from llmosd.store.run_directory import OUT, Order, RunDirectory


class Runner:
    """Jobs in this process."""

    async def run(self, _name, spec, _kind, _report):
        return preprocess(spec, Silent())


class Context:
    def __init__(self, run):
        self.folder = run.path

    def check_cancelled(self):
        pass


@pytest.fixture
def parts(tmp_path):
    """Preprocessing, its datasets, and a run directory for one order."""
    catalog, store = Catalog(tmp_path / "catalog.db"), DatasetStore(tmp_path)
    datasets = Datasets(catalog, store, SimpleNamespace(), Runner(), 1 << 30)
    staging = store.stage()
    with DatasetWriter(staging.version, "text") as writer:
        for word in ("One", "Two", "two"):
            writer.add({"text": word}, "train")
        manifest = writer.finish(license_="", source="", lineage={}, recipe=None, report=None)
    store.publish("words", 1, staging)
    datasets.table.add_version(
        DatasetVersionRecord(
            dataset_id="words",
            version=1,
            create_time=now(),
            kind="text",
            row_count=3,
            byte_size=manifest.byte_size,
            digest=manifest.digest,
            license="",
            source="",
        )
    )
    asked = PreprocessOrder(
        source="datasets/words/versions/1",
        dataset_id="words",
        recipe=Recipe(lowercase=True, deduplicate=True),
    )
    order = Order(kind=KIND, job=msgspec.Raw(msgspec.json.encode(asked)))
    (tmp_path / "operations").mkdir()
    run = RunDirectory.create(tmp_path / "operations" / "job", order)
    yield Preprocessing(datasets, SimpleNamespace(), Runner()), datasets, run
    catalog.close()


def made(preprocessing, run):
    done = asyncio.run(preprocessing.run(run.order(), Context(run)))
    return msgspec.json.encode(done)


def numbers(datasets):
    return [each.version for each in datasets.table.versions("words", 10)]


def test_published_once(parts):
    """Asked again after the version was there, it gives the same answer and makes no other."""
    preprocessing, datasets, run = parts
    result = made(preprocessing, run)
    first = asyncio.run(preprocessing.publish(run, result))
    assert numbers(datasets) == [1, 2]
    assert asyncio.run(preprocessing.publish(run, result)) == first
    assert numbers(datasets) == [1, 2]
    with datasets.store.open("words", 2) as reader:
        assert [row["text"] for _, row in reader.rows()] == ["one", "two"]


@pytest.mark.parametrize("at", ["before the rename", "after the rename", "before the commit"])
def test_cut_off_while_publishing(parts, monkeypatch, at):
    """What was moved away and is in no catalog is made again; nothing is left of it."""
    preprocessing, datasets, run = parts
    result = made(preprocessing, run)

    def crash(*_):
        raise SystemExit

    with monkeypatch.context() as patch:
        if at == "before the rename":
            patch.setattr(datasets.store, "stage", crash)
        elif at == "after the rename":
            patch.setattr(datasets.store, "publish", crash)
        else:
            patch.setattr(datasets.table, "add_version", crash)
        with pytest.raises(SystemExit):
            asyncio.run(preprocessing.publish(run, result))
    assert (run.path / OUT / "number").read_text() == "2"
    assert numbers(datasets) == [1]
    datasets.store.clean([("words", 1)])  # as a daemon does that starts
    asyncio.run(preprocessing.publish(run, result))
    assert numbers(datasets) == [1, 2]


def test_somebody_else_took_the_number(parts, monkeypatch):
    """A version of that number with other rows is not this job's."""
    preprocessing, datasets, run = parts
    result = made(preprocessing, run)
    (run.path / OUT / "number").write_text("1")
    asyncio.run(preprocessing.publish(run, result))
    assert numbers(datasets) == [1, 2]
