import pytest

from llmosd.errors import InternalError, OperationNotFound, OperationRunning, RequestIdReused
from llmosd.store.catalog import Catalog


@pytest.fixture
def operations(tmp_path):
    with Catalog(tmp_path / "catalog.db") as catalog:
        yield catalog.operations


def test_from_creation_to_the_end(operations):
    made = operations.create("o1", "import-model", "models/m", "r1", "d1")
    assert (made.state, made.result, made.end_time) == ("RUNNING", None, None)
    assert [operations.append_event("o1", bytes([n])) for n in (1, 2)] == [1, 2]
    assert operations.finish("o1", "SUCCEEDED", b"result", event=b"last")
    done = operations.get("o1")
    assert (done.state, done.result) == ("SUCCEEDED", b"result")
    assert done.end_time >= done.create_time == made.create_time
    events = operations.events("o1", 0, 10)
    assert [(e.sequence, e.payload) for e in events] == [(1, b"\1"), (2, b"\2"), (3, b"last")]
    assert [e.sequence for e in operations.events("o1", 1, 1)] == [2]
    assert operations.events("o1", 3, 10) == []


def test_the_first_outcome_stays(operations):
    operations.create("o1", "k", "t")
    assert operations.finish("o1", "CANCELLED", b"a")
    assert not operations.finish("o1", "SUCCEEDED", b"b", event=b"e")
    assert operations.get("o1").result == b"a"
    assert operations.events("o1", 0, 9) == []


def test_a_request_id_makes_one_operation(operations):
    assert operations.find_request("r") is None
    first = operations.create("o1", "k", "t", "r", "digest")
    assert operations.find_request("r") == first
    with pytest.raises(RequestIdReused, match="request_id was used"):
        operations.create("o2", "k", "t", "r", "digest")
    operations.create("o3", "k", "t")
    operations.create("o4", "k", "t")
    assert operations.find_request("") is None
    with pytest.raises(InternalError):
        operations.create("o4", "k", "t")


def test_pages_newest_first(operations):
    for n in range(5):
        operations.create(f"o{n}", "k", "t")
    page = operations.page(2)
    assert [o.operation_id for o in page] == ["o4", "o3"]
    operations.finish("o3", "FAILED", b"")
    operations.delete("o3")
    assert [o.operation_id for o in operations.page(2, page[-1].position)] == ["o2", "o1"]


def test_delete_forgets_events_and_refuses_what_runs(operations):
    operations.create("o1", "k", "t")
    operations.append_event("o1", b"x")
    with pytest.raises(OperationRunning, match='operation "o1" is running; cancel it first'):
        operations.delete("o1")
    operations.finish("o1", "SUCCEEDED", b"")
    operations.delete("o1")
    operations.create("o1", "k", "t")
    assert operations.events("o1", 0, 9) == []


def test_what_ran_at_a_crash_is_interrupted(tmp_path):
    with Catalog(tmp_path / "c.db") as catalog:
        for n in range(3):
            catalog.operations.create(f"o{n}", "k", "t")
        catalog.operations.finish("o1", "SUCCEEDED", b"")
        catalog.operations.append_event("o0", b"x")
    with Catalog(tmp_path / "c.db") as catalog:
        operations = catalog.operations
        assert operations.interrupt_running(b"why") == ["o0", "o2"]
        assert operations.interrupt_running() == []
        assert operations.get("o0").state == "INTERRUPTED"
        assert operations.get("o0").result == b"why"
        assert operations.get("o1").state == "SUCCEEDED"
        assert operations.append_event("o0", b"y") == 2


@pytest.mark.parametrize(
    "call",
    [
        lambda o: o.get("x"),
        lambda o: o.append_event("x", b""),
        lambda o: o.events("x", 0, 1),
        lambda o: o.finish("x", "FAILED", b""),
        lambda o: o.delete("x"),
    ],
)
def test_what_is_not_there_is_named(operations, call):
    with pytest.raises(OperationNotFound, match='operation "x" does not exist'):
        call(operations)
    operations.create("y", "k", "t")
    assert operations.append_event("y", b"") == 1
