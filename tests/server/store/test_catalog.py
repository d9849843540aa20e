import contextlib
import sqlite3
import threading
from datetime import UTC, datetime

import pytest

from llmosd.errors import DataCorrupt, InternalError, ModelNotFound
from llmosd.store.catalog import Catalog
from llmosd.store.connection import connect, migrate
from llmosd.store.names import ModelRef
from llmosd.store.records import VersionRecord, WantedRecord
from llmosd.store.schema import MIGRATIONS


@pytest.fixture
def catalog(tmp_path):
    with Catalog(tmp_path / "catalog.db") as catalog:
        yield catalog


def record(model_id="m", version=1, **changes):
    values = {
        "model_id": model_id,
        "version": version,
        "create_time": datetime(2025, 1, 2, 3, 4, 5, 678901, UTC),
        "architecture": "llama",
        "family": "qwen2",
        "parameter_count": 135_000_000,
        "context_length": 8192,
        "vocabulary_size": 49152,
        "dtype": "float32",
        "byte_size": 2**40,
        "digest": "sha256:" + "0" * 64,
        "license": "Apache-2.0",
        "source": "pypi",
        "chat": True,
    }
    return VersionRecord(**values | changes)


def test_what_was_added_comes_back_whole(catalog):
    catalog.add_version(record())
    assert catalog.resolve(ModelRef("m")) == record()
    assert catalog.resolve(ModelRef("m", version=1)).name == "models/m/versions/1"
    model = catalog.model("m")
    assert (model.aliases, model.live, model.version_count) == ({"live": 1}, record(), 1)
    assert (model.name, model.create_time) == ("models/m", record().create_time)


def test_a_new_version_becomes_live_or_takes_another_alias(catalog):
    catalog.add_version(record())
    assert catalog.next_version("m") == 2
    catalog.add_version(record(version=2))
    assert catalog.resolve(ModelRef("m")).version == 2
    catalog.add_version(record(version=3), alias="next")
    assert catalog.model("m").aliases == {"live": 2, "next": 3}
    assert catalog.resolve(ModelRef("m", alias="next")).version == 3
    catalog.set_alias("m", "live", 1)
    assert catalog.resolve(ModelRef("m")).version == 1
    assert catalog.model("m").version_count == 3


def test_the_first_version_is_live_whatever_its_alias(catalog):
    catalog.add_version(record(), alias="next")
    assert catalog.model("m").aliases == {"live": 1, "next": 1}


def test_a_number_is_given_once(catalog):
    catalog.add_version(record())
    catalog.add_version(record(version=2))
    catalog.delete_version("m", 2)
    assert catalog.next_version("m") == 3
    with pytest.raises(InternalError, match="models/m/versions/2 was there before"):
        catalog.add_version(record(version=2))


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        (
            ModelRef("x"),
            'model "x" is not installed; llmos list shows what is, llmos pull gets more',
        ),
        (ModelRef("x", version=1), 'model "x" is not installed'),
        (ModelRef("m", version=9), 'model "m" has no version 9'),
        (ModelRef("m", alias="next"), 'model "m" has no alias "next"'),
    ],
)
def test_what_is_not_there_is_named(catalog, ref, message):
    catalog.add_version(record())
    with pytest.raises(ModelNotFound, match=message) as error:
        catalog.resolve(ref)
    assert error.value.metadata == {"model": str(ref)}


def test_pages(catalog):
    for model_id in "cab":
        for version in (1, 2):
            catalog.add_version(record(model_id, version))
    assert [m.model_id for m in catalog.models(2)] == ["a", "b"]
    assert [m.model_id for m in catalog.models(2, "b")] == ["c"]
    everything = [(v.model_id, v.version) for v in catalog.versions(None, 4)]
    assert everything == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
    rest = [(v.model_id, v.version) for v in catalog.versions(None, 9, ("b", 1))]
    assert rest == [("b", 2), ("c", 1), ("c", 2)]
    assert [v.version for v in catalog.versions("b", 9)] == [1, 2]
    assert [v.version for v in catalog.versions("b", 9, ("b", 1))] == [2]
    with pytest.raises(ModelNotFound):
        catalog.versions("x", 1)


def test_deleting_versions_moves_live_and_ends_with_the_model(catalog):
    for version in (1, 2, 3):
        catalog.add_version(record(version=version))
    catalog.set_alias("m", "old", 1)
    catalog.set_wanted("m", 3, True)
    catalog.delete_version("m", 3)
    assert catalog.model("m").aliases == {"live": 2, "old": 1}
    assert catalog.wanted() == []
    catalog.set_alias("m", "live", 1)
    catalog.delete_version("m", 2)
    assert catalog.model("m").aliases == {"live": 1, "old": 1}
    catalog.delete_version("m", 1)
    assert catalog.models(9) == []
    with pytest.raises(ModelNotFound):
        catalog.delete_version("m", 1)


def test_deleting_a_model_takes_its_versions(catalog):
    catalog.add_version(record())
    catalog.add_version(record(version=2))
    catalog.add_version(record("n"))
    assert catalog.delete_model("m") == [1, 2]
    assert [m.model_id for m in catalog.models(9)] == ["n"]
    assert len(catalog.versions(None, 9)) == 1
    with pytest.raises(ModelNotFound):
        catalog.delete_model("m")


def test_everything_survives_a_restart(tmp_path):
    with Catalog(tmp_path / "c.db") as catalog:
        catalog.add_version(record())
        catalog.set_wanted("m", 1, True, keep_alive=-1.0, dtype="bfloat16")
        catalog.set_wanted("m", 1, True, keep_alive=30.5)
    with Catalog(tmp_path / "c.db") as catalog:
        assert catalog.wanted() == [WantedRecord("m", 1, 30.5, "")]
        catalog.set_wanted("m", 1, False)
        assert catalog.wanted() == []
        with pytest.raises(ModelNotFound):
            catalog.set_wanted("x", 1, True)


def test_settings_that_durability_depends_on(tmp_path):
    db = connect(tmp_path / "c.db")

    def pragma(name):
        return db.execute(f"PRAGMA {name}").fetchone()[0]

    assert pragma("journal_mode") == "wal"
    assert pragma("synchronous") == 2
    assert pragma("foreign_keys") == 1
    assert pragma("user_version") == len(MIGRATIONS)
    tables = db.execute("SELECT name, strict FROM pragma_table_list WHERE type = 'table'")
    ours = {name: strict for name, strict in tables if not name.startswith("sqlite_")}
    assert ours
    assert set(ours.values()) == {1}
    db.close()


def test_migrations_run_once_each_and_all_or_nothing(tmp_path):
    db = sqlite3.connect(tmp_path / "c.db", isolation_level=None)
    first = "CREATE TABLE a (x INTEGER) STRICT;"
    migrate(db, (first,))
    db.execute("INSERT INTO a VALUES (7)")
    second = "ALTER TABLE a ADD COLUMN y TEXT;"
    migrate(db, (first, second))
    assert db.execute("SELECT * FROM a").fetchall() == [(7, None)]
    third = "CREATE TABLE b (x INTEGER) STRICT;"
    with pytest.raises(
        DataCorrupt, match="from version 2 to 4, and stays as it was: no such table"
    ):
        migrate(db, (first, second, third, "DROP TABLE missing;"))
    assert db.execute("PRAGMA user_version").fetchone() == (2,)
    assert db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'b'").fetchone() == (0,)
    with pytest.raises(DataCorrupt, match="version 2, written by a newer llmosd; this one knows 1"):
        migrate(db, (first,))
    db.close()


def catalog_of(version, path):
    """A catalog as an older daemon left it, with a model in it."""
    db = connect(path, MIGRATIONS[:version])
    db.execute("INSERT INTO models VALUES ('old', 1, 2)")
    columns = "model_id, version, create_time, architecture, family, parameter_count, "
    columns += "context_length, vocabulary_size, dtype, byte_size, digest, license, source, chat"
    db.execute(
        f"INSERT INTO versions ({columns}) "
        "VALUES ('old', 1, 1, 'llama', 'llama', 1, 8, 8, 'float32', 1, 'sha256:0', '', '', 0)"
    )
    db.execute("INSERT INTO aliases VALUES ('old', 'live', 1)")
    db.close()


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_an_older_catalog_is_copied_and_brought_up(tmp_path, version):
    """From every version that there was; the copy is the old one, whole."""
    path = tmp_path / "catalog.db"
    catalog_of(version, path)
    with Catalog(path) as catalog:
        assert catalog.resolve(ModelRef("old")).name == "models/old/versions/1"
        assert catalog.tokens.list() == []
    copy = tmp_path / f"catalog.db.v{version}.bak"
    assert {each.name for each in tmp_path.iterdir()} == {path.name, copy.name}
    old = connect(copy, MIGRATIONS[:version])
    assert old.execute("PRAGMA user_version").fetchone() == (version,)
    assert old.execute("SELECT model_id FROM versions").fetchall() == [("old",)]
    old.close()
    with Catalog(path):  # the control: what is up to date is not copied
        assert not (tmp_path / f"catalog.db.v{len(MIGRATIONS)}.bak").exists()


def test_a_migration_that_fails_leaves_the_old_state(tmp_path):
    """Planted in the middle of two: neither has happened, and the older daemon opens it again."""
    path = tmp_path / "catalog.db"
    catalog_of(4, path)
    broken = (*MIGRATIONS[:5], "CREATE TABLE half (x INTEGER) STRICT; DROP TABLE missing;")
    with pytest.raises(DataCorrupt, match="from version 4 to 6, and stays as it was"):
        connect(path, broken)
    old = connect(path, MIGRATIONS[:4])
    tables = {name for (name,) in old.execute("SELECT name FROM sqlite_schema")}
    assert not tables & {"half", "feedback"}
    assert old.execute("SELECT model_id FROM versions").fetchall() == [("old",)]
    old.close()
    with Catalog(path) as catalog:  # and one that does not fail goes on from there
        assert catalog.resolve(ModelRef("old")).version == 1


@pytest.mark.parametrize("kind", ["newer", "no version", "other tables", "other application"])
def test_newer_and_foreign_files_are_left_as_they_are(tmp_path, kind):
    path = tmp_path / "catalog.db"
    says = "another program's database"
    if kind == "newer":
        catalog_of(3, path)
        says = f"written by a newer llmosd; this one knows {len(MIGRATIONS)}"
    with contextlib.closing(sqlite3.connect(path)) as db:
        if kind == "newer":
            db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
        else:
            table = "models" if kind == "other application" else "cookies"
            db.execute(f"CREATE TABLE {table} (x)")
            db.execute(f"PRAGMA user_version = {0 if kind == 'no version' else 3}")
            db.execute(f"PRAGMA application_id = {7 if kind == 'other application' else 0}")
        db.commit()
    before = path.read_bytes()
    with pytest.raises(DataCorrupt, match=says):
        Catalog(path)
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("*.bak"))


def test_a_file_that_is_no_catalog_is_refused(tmp_path):
    (tmp_path / "c.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(DataCorrupt, match="the catalog cannot be opened"):
        Catalog(tmp_path / "c.db")


def test_a_change_that_fails_leaves_nothing(catalog):
    with pytest.raises(sqlite3.IntegrityError):
        catalog.add_version(record(parameter_count="many"))
    assert catalog.models(9) == []
    catalog.add_version(record())


def test_another_thread_may_not_use_it(catalog):
    errors = []

    def use():
        try:
            catalog.models(1)
        except sqlite3.ProgrammingError as error:
            errors.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert errors
