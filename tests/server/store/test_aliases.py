"""How aliases move, and back."""

from datetime import UTC, datetime

import pytest

from llmosd.errors import AliasConflict, ModelNotFound
from llmosd.store.aliases import Condition, Watching, before
from llmosd.store.catalog import Catalog
from llmosd.store.records import VersionRecord


def record(version):
    return VersionRecord(
        model_id="m", version=version, create_time=datetime(2025, 1, 2, tzinfo=UTC),
        architecture="llama", family="llama", parameter_count=1, context_length=8,
        vocabulary_size=8, dtype="float32", byte_size=1, digest=f"sha256:{version}",
    )  # fmt: skip


@pytest.fixture
def catalog(tmp_path):
    with Catalog(tmp_path / "catalog.db") as catalog:
        for number in (1, 2, 3):
            catalog.add_version(record(version=number), "candidate")
        yield catalog


def move(catalog, version, **more):
    with catalog.atomically():
        return catalog.aliases.move("m", "live", version, "PROMOTED", **more)


def back(catalog, **more):
    with catalog.atomically():
        catalog.aliases.take_back(catalog.aliases.standing("m", "live"), "why", **more)


def test_a_stack(catalog):
    """Rollbacks walk back over the moves, one by one, and none goes back to what was left."""
    aliases = catalog.aliases
    assert [aliases.at("m", name) for name in ("live", "candidate")] == [1, 3]
    first, second = move(catalog, 2), move(catalog, 3)
    assert move(catalog, 3) is None
    assert first < second
    back(catalog, automatic=True)
    assert aliases.at("m", "live") == 2
    back(catalog, automatic=False)
    assert aliases.at("m", "live") == 1
    with pytest.raises(AliasConflict, match="nothing to undo"):
        aliases.standing("m", "live")
    live = [each for each in aliases.page("m", 9, None) if each.alias == "live"]
    assert [(each.version, each.previous, each.automatic) for each in live] == [
        (3, 2, True),
        (2, 1, False),
    ]
    assert aliases.page("m", 1, second)[0].position == first


def test_other_moves_count_too(catalog):
    """What an upload or SetModelAlias did can be undone as well; what deleting did cannot."""
    catalog.set_alias("m", "live", 2)
    assert catalog.aliases.standing("m", "live").cause == "SET"
    catalog.add_version(record(version=4))
    assert catalog.aliases.standing("m", "live").cause == "PUBLISHED"
    back(catalog, automatic=False)
    assert catalog.aliases.at("m", "live") == 2
    catalog.delete_version("m", 1)
    standing = catalog.aliases.standing("m", "live")
    assert before(standing) == 1


def test_what_cannot_be_undone(catalog):
    with catalog.atomically():
        catalog.aliases.move("m", "new", 2, "PROMOTED")
    with pytest.raises(AliasConflict, match="was new"):
        before(catalog.aliases.standing("m", "new"))
    standing = catalog.aliases
    move(catalog, 2)
    record_ = standing.standing("m", "live")
    move(catalog, 3)
    with pytest.raises(AliasConflict, match="moved meanwhile"), catalog.atomically():
        standing.take_back(record_, "late", automatic=True)
    assert standing.at("m", "live") == 3
    with pytest.raises(ModelNotFound, match='no alias "nothing"'):
        standing.delete("m", "nothing")


def test_a_move_is_all_or_nothing(catalog):
    """An error inside the transaction leaves the alias and the record as they were."""

    def fail():
        with catalog.atomically():
            catalog.set_wanted("m", 2, True)
            catalog.aliases.move("m", "live", 2, "PROMOTED")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert catalog.aliases.at("m", "live") == 1
    assert catalog.wanted() == []
    assert [each.alias for each in catalog.aliases.page("m", 9, None)] == ["candidate"] * 2


def test_probations_are_found_again(catalog):
    move(catalog, 2, watching=Watching(seconds=600, losses=2, share=0.5))
    (found,) = catalog.aliases.watched()
    assert found.watching == Watching(600, 2, 0.5)
    back(catalog, automatic=False)
    assert catalog.aliases.watched() == []
    move(catalog, 3, watching=Watching(seconds=0))
    assert catalog.aliases.watched() == []


def test_policies(catalog):
    wanted = [Condition("s", "nll", at_most=2.0, max_regression=0.1)]
    catalog.aliases.set_policy("m", "live", wanted)
    assert catalog.aliases.policy("m", "live") == wanted
    catalog.aliases.set_policy("m", "live", [])
    assert catalog.aliases.policy("m", "live") == []


def test_pinned_is_kept(catalog):
    """Who loads it again by its name does not make it less wanted by its number."""
    catalog.set_wanted("m", 1, True, pinned=True)
    catalog.set_wanted("m", 1, True, keep_alive=5.0)
    assert catalog.pinned("m", 1)
    assert [each.keep_alive for each in catalog.wanted()] == [5.0]
    catalog.set_wanted("m", 1, False)
    assert not catalog.pinned("m", 1)


def test_first_numbers_stay(catalog):
    catalog.probes.put("sha256:a", "cpu", [1.0, -2.5])
    catalog.probes.put("sha256:a", "cpu", [3.0])
    assert catalog.probes.get("sha256:a", "cpu") == [1.0, -2.5]
    assert catalog.probes.get("sha256:a", "cuda") is None
