"""What may go and what may not: caches, ended jobs, versions that something refers to."""

from datetime import timedelta
from types import SimpleNamespace

import msgspec
import pytest

from llmosd.rpc.garbage import Garbage
from llmosd.store.catalog import Catalog
from llmosd.store.manifest import WEIGHTS, FileEntry
from llmosd.store.records import VersionRecord, now
from llmosd.store.run_directory import Order, RunDirectory


class World:
    """A catalog with versions 1 to 6 of "m"; the rest is what a test says."""

    def __init__(self, folder):
        self.folder = folder
        self.catalog = Catalog(folder / "catalog.db")
        for number in range(1, 7):
            self.catalog.add_version(
                VersionRecord(
                    model_id="m", version=number, create_time=now() - timedelta(days=10 - number),
                    architecture="llama", family="llama", parameter_count=1, context_length=1,
                    vocabulary_size=1, dtype="float32", byte_size=5, digest=f"sha256:d{number}",
                )
            )  # fmt: skip
        self.bases, self.reads, self.resident, self.pins = {}, set(), [], set()
        self.running, self.ended, self.deleted = 0, [], []

    def manifest(self, model_id, version):
        name = f"models/{model_id}/versions/{version}"
        files = {WEIGHTS: FileEntry(1, f"w{version}")}
        return SimpleNamespace(adapter_base=self.bases.get(name, ""), files=files)

    def garbage(self):
        residents = [SimpleNamespace(record=SimpleNamespace(name=name)) for name in self.resident]
        return Garbage(
            self.folder,
            self.catalog,
            SimpleNamespace(
                manifest=self.manifest, delete=lambda _, number: self.deleted.append(number)
            ),
            SimpleNamespace(residents=lambda: residents, pins=self.pins),
            SimpleNamespace(
                reads=lambda: self.reads,
                num_running=self.running,
                directory=lambda name: RunDirectory(self.folder / name),
            ),
            SimpleNamespace(ended_jobs=lambda: self.ended),
        )

    def found(self, **options):
        items = self.garbage().find(**{"keep": None, "older_than": 0.0, **options})
        return [item.name.rpartition("/")[2] for item in items]


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    world.catalog.close()


def test_versions_stay_unless_asked(world):
    """Live is 6, a rollback would bring 5 back: the others go, but the newest and the young."""
    assert world.found() == []
    assert world.found(keep=1) == ["1", "2", "3", "4"]
    assert world.found(keep=4) == ["1", "2"]
    assert world.found(keep=1, older_than=7.5 * 86_400) == ["1", "2"]


@pytest.mark.parametrize("why", ["alias", "job", "loaded", "wanted", "adapter"])
def test_what_something_refers_to_stays(world, why):
    """Version 2, for each reason; without it, it goes."""
    name = "models/m/versions/2"
    assert "2" in world.found(keep=1)
    if why == "alias":
        world.catalog.set_alias("m", "good", 2)
    elif why == "job":
        world.reads.add(name)
    elif why == "loaded":
        world.resident.append(name)
    elif why == "wanted":
        world.catalog.set_wanted("m", 2, True, pinned=True)
    elif why == "adapter":
        world.bases["models/m/versions/6"] = name
    assert world.found(keep=1) == ["1", "3", "4"]


def test_what_is_asked_for_meanwhile_stays(world):
    """Between finding and removing somebody loads one, and a request begins with another."""
    items = world.garbage()
    found = items.find(keep=1, older_than=0.0)
    world.resident.append("models/m/versions/1")
    world.pins.add("models/m/versions/3")
    garbage = world.garbage()
    for item in found:
        garbage._delete(world.catalog.versions("m", 9)[int(item.name[-1]) - 1 - len(world.deleted)])
    assert world.deleted == [2, 4]


def test_caches(world):
    """Packed weights of what is gone; tokens while nobody may read them."""
    for path in ("packed/w2-int8-1", "packed/d3-int4-1", "packed/w9-int8-1", "tokens/abc"):
        folder = world.folder / path
        folder.mkdir(parents=True)
        (folder / "data").write_bytes(bytes(100_000))
    world.running = 1
    assert world.found() == ["w9-int8-1"]
    world.running = 0
    garbage = world.garbage()
    assert [item.byte_size >= 100_000 for item in garbage.caches()] == [True, True]
    garbage.collect_caches()
    assert sorted(path.name for path in world.folder.glob("*/*")) == ["d3-int4-1", "w2-int8-1"]


def test_ended_jobs(world):
    """Their checkpoints and results go; what was asked, and what they said, stays."""
    run = RunDirectory.create(world.folder / "job", Order(job=msgspec.Raw(b"{}")))
    (run.path / "ckpt" / "big").write_bytes(bytes(100_000))
    assert world.found() == []
    ended = now() - timedelta(days=3)
    world.ended = [SimpleNamespace(operation_id="job", end_time=ended)]
    assert world.found(older_than=4 * 86_400.0) == []
    (item,) = world.garbage().find(keep=None, older_than=86_400.0)
    item.remove()
    assert (run.path / "spec.json").exists()
    assert not (run.path / "ckpt").exists()
    assert world.found() == []
