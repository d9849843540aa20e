"""Datasets over the wire, in a real daemon: from files to versions, and nothing left of failures."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

import threats
from daemon import DaemonProcess, wait_for
from llmos.v1 import dataset_pb2
from llmos.v1 import dataset_service_pb2 as pb
from llmos_client import (
    DataCorruptError,
    DatasetInUseError,
    DatasetNotFoundError,
    InvalidDatasetError,
    InvalidFieldError,
    LimitExceededError,
    OperationCancelledError,
    RequestIdReusedError,
)
from threats import raw, refusal

ROWS = [{"text": f"The text of row {n}, by a{n}@example.com", "label": "ab"[n % 2]} for n in range(60)]  # fmt: skip


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    """Without models: datasets need none."""
    process = DaemonProcess(tmp_path_factory.mktemp("datasets"), max_dataset_bytes=50_000_000)
    yield process
    process.stop()


@pytest.fixture
def client(daemon):
    with daemon.client() as client:
        yield client
        for dataset in client.list_datasets():
            client.delete_dataset(dataset.id)
        root = daemon.folder / "state" / "datasets"
        assert [path.name for path in root.iterdir()] == [".staging"]
        assert list((root / ".staging").iterdir()) == []


@pytest.fixture
def files(tmp_path):
    def write(rows=ROWS, name="rows.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return [path]

    return write


def add(client, paths, name="reviews", **options):
    options = {"kind": "labelled", **options}
    return client.wait_operation(client.upload_dataset(name, paths, **options)).result()


def test_from_upload_to_delete(client, files):
    version = add(client, files(), license="CC-BY-4.0", source="a test")
    assert version.name == "datasets/reviews/versions/1"
    assert (version.kind, version.row_count, version.license) == ("labelled", 60, "CC-BY-4.0")
    assert (version.recipe, version.report) == (None, None)
    assert list(version.lineage) == ["file:rows.jsonl"]
    assert version.lineage["file:rows.jsonl"].startswith("sha256:")
    recipe = {"personal_data": ["email"], "lowercase": True, "validation": 0.3, "salt": "x"}
    made = client.preprocess_dataset("reviews", dataset_id="tidy", **recipe).result()
    assert (made.name, made.license, made.source) == (
        "datasets/tidy/versions/1", "CC-BY-4.0", "a test",
    )  # fmt: skip
    assert made.lineage == {"source": version.name, "source_digest": version.digest}
    assert made.recipe == {**recipe, "personal_data": ("email",), "test": 0.0}
    assert made.report.personal_data == {"email": 60}
    assert (made.train_rows + made.validation_rows, made.test_rows) == (60, 0)
    parts = [client.list_examples("tidy", split=s, limit=None) for s in ("train", "validation")]
    assert [len(part) for part in parts] == [made.train_rows, made.validation_rows]
    everything = client.list_examples("tidy", limit=None)
    assert sorted([*parts[0], *parts[1]], key=lambda e: e.row) == everything
    assert everything[0].content == {"text": "the text of row 0, by [EMAIL]", "label": "a"}
    assert client.list_examples("reviews", limit=2)[1].content == ROWS[1]
    client.delete_dataset("reviews")
    with pytest.raises(DatasetNotFoundError, match='dataset "reviews" is not there'):
        client.get_dataset("reviews")
    assert client.get_dataset("tidy").newest == made


def test_versions(client, files):
    first = add(client, files())
    second = client.preprocess_dataset("reviews", deduplicate=True).result()
    assert second.number == 2
    assert second.digest == first.digest  # the same rows
    assert client.get_dataset_version("reviews") == second
    assert client.get_dataset_version("datasets/reviews/versions/1") == first
    assert client.list_dataset_versions("reviews") == [first, second]
    add(client, files(ROWS[:1]), name="other")
    assert [v.dataset for v in client.list_dataset_versions()] == ["other", "reviews", "reviews"]
    assert [(d.id, d.version_count) for d in client.list_datasets()] == [("other", 1), ("reviews", 2)]  # fmt: skip
    client.delete_dataset_version("reviews/versions/2")
    assert client.get_dataset("reviews").newest == first
    client.delete_dataset_version("reviews/versions/1")
    assert [d.id for d in client.list_datasets()] == ["other"]


def test_pages(daemon, client, files):
    add(client, files([{"text": f"{n} " + "x" * 300_000, "label": "a"} for n in range(8)]))
    with raw(daemon) as channel:
        seen, token = [], ""
        while token or not seen:
            request = pb.ListExamplesRequest(parent="reviews", page_token=token)
            call = threats.start(
                channel, threats.method("ListExamples"), request.SerializeToString()
            )
            page = pb.ListExamplesResponse.FromString(call.result())
            assert sum(len(example.json) for example in page.examples) <= 1 << 20
            seen += [example.row for example in page.examples]
            token = page.next_page_token
            assert len(seen) <= 8
        assert seen == list(range(8))
        request = pb.ListExamplesRequest(parent="reviews", page_token="nonsense")
        found = refusal(channel, threats.method("ListExamples"), request.SerializeToString())
        assert found.fields == ["page_token"]


def test_the_longest_row_arrives(client, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("\n" * 8_000_000 + "a" * 8_000_000)
    add(client, [path], kind="text")
    (example,) = client.list_examples("reviews")
    assert example.content["text"] == path.read_text()


def test_bad_rows_are_named_and_nothing_is_kept(client, files):
    rows = [*ROWS[:3], {"text": "x"}, *ROWS[:2], {"text": 1, "label": "a"}]
    with pytest.raises(InvalidDatasetError) as caught:
        add(client, files(rows, "reviews.jsonl"))
    error = caught.value
    assert error.code == "INVALID_ARGUMENT"
    assert [(v.field, v.description) for v in error.violations] == [
        ("reviews.jsonl:4", 'field "label" is missing'),
        ("reviews.jsonl:7", "text must be a string"),
    ]
    threats.check_text(error.message)
    assert client.list_datasets() == []


def test_a_recipe_with_the_upload_leaves_no_trace_of_what_it_removes(daemon, client, files):
    version = add(client, files(), recipe={"personal_data": "all", "test": 0.2})
    assert version.number == 1
    assert version.report.personal_data == {"email": 60}
    assert list(version.lineage) == ["file:rows.jsonl"]
    kept = daemon.folder / "state" / "datasets"
    content = [path.read_bytes() for path in kept.rglob("*") if path.is_file()]
    assert len(content) == 6
    assert not any(b"example.com" in data for data in content)
    assert any(b"[EMAIL]" in data for data in content)


def test_the_same_rows_have_the_same_digest(client, files, tmp_path):
    one = add(client, files())
    lines = [json.dumps(dict(reversed(row.items())), indent=None) for row in ROWS]
    path = tmp_path / "other.jsonl"
    path.write_text("\r\n".join(lines))
    assert add(client, [path], name="b").digest == one.digest
    assert add(client, files(ROWS[1:]), name="c").digest != one.digest


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("a.csv", "labelled", "must end in .jsonl or .txt"),
        ("a.txt", "labelled", "rows of kind labelled come as .jsonl"),
    ],
)
def test_files_of_another_form(client, files, name, kind, words):
    with pytest.raises(InvalidFieldError, match=words) as caught:
        client.upload_dataset("a", files(name=name), kind=kind)
    assert caught.value.violations[0].field == "header.files[0].name"


def test_what_a_recipe_may_not_be(daemon, client, files):
    add(client, files())
    wrong = {
        "recipe.split": {"validation": 0.5, "test": 0.5},
        "recipe.split.validation": {"validation": -0.1},
        "recipe.near_duplicates": {"near_duplicates": 0.1},
        "recipe.noise.probability": {"noise": 0.0},
        "recipe.noise.copies": {"noise": 0.1, "noise_copies": 9},
    }
    for field, recipe in wrong.items():
        with pytest.raises(InvalidFieldError) as caught:
            client.preprocess_dataset("reviews", **recipe)
        assert [v.field for v in caught.value.violations] == [field]
    with raw(daemon) as channel:
        message = pb.PreprocessDatasetRequest(name="reviews").SerializeToString()
        found = refusal(channel, threats.method("PreprocessDataset"), message)
        assert found.fields == ["recipe"]


def test_too_large(client, tmp_path):
    path = tmp_path / "a.txt"
    with path.open("wb") as file:
        file.truncate(50_000_001)
    with pytest.raises(LimitExceededError, match="max_dataset_bytes is 50000000"):
        client.upload_dataset("a", [path], kind="text")


def test_content_that_is_not_what_the_header_says(daemon, client):
    header = pb.UploadDatasetHeader(dataset_id="a", kind=dataset_pb2.DATASET_KIND_TEXT)
    header.files.add(name="a.txt", byte_size=3, digest="sha256:" + "0" * 64)
    messages = [pb.UploadDatasetRequest(header=header)]
    messages.append(pb.UploadDatasetRequest(chunk={"file": 0, "data": b"abc"}))
    sent = [message.SerializeToString() for message in messages]
    method = threats.method("UploadDataset")
    with raw(daemon) as channel:
        assert refusal(channel, method, *sent).reason == "DATA_CORRUPT"
        assert refusal(channel, method, sent[0]).reason == "DATA_CORRUPT"
        assert refusal(channel, method, sent[1]).fields == ["part"]
        assert refusal(channel, method, sent[0], sent[0]).fields == ["part"]
    assert DataCorruptError  # what the SDK makes of it


def test_repeating_a_request(client, files):
    paths = files()
    calls = [client.upload_dataset("a", paths, kind="labelled", request_id="r1") for _ in range(2)]
    assert calls[0].name == calls[1].name
    client.wait_operation(calls[0]).result()
    with pytest.raises(RequestIdReusedError):
        client.upload_dataset("b", paths, kind="labelled", request_id="r1")
    first = client.preprocess_dataset("a", request_id="r2", lowercase=True)
    again = client.preprocess_dataset("a", request_id="r2", lowercase=True)
    assert first.name == again.name
    assert client.get_dataset("a").version_count == 2


@pytest.fixture
def slow(client, files):
    """An operation that runs for a while on datasets/reviews."""
    rows = [{"text": f"{n} " + "word " * 3000, "label": "a"} for n in range(600)]
    add(client, files(rows))
    operation = client.preprocess_dataset(
        "reviews", dataset_id="tidy", wait=False, near_duplicates=0.9, strip_punctuation=True
    )
    yield operation
    client.cancel_operation(operation.name)
    client.wait_operation(client.get_operation(operation.name))


def test_what_is_read_is_not_deleted(client, slow):
    with pytest.raises(DatasetInUseError, match="is being read by a job") as caught:
        client.delete_dataset("reviews")
    assert caught.value.metadata["dataset"] == "datasets/reviews/versions/1"
    with pytest.raises(DatasetInUseError):
        client.delete_dataset_version("reviews/versions/1")
    # Beside the one that still works.
    assert (
        client.preprocess_dataset("reviews", dataset_id="tidy", lowercase=True).result().number == 1
    )
    client.cancel_operation(slow.name)
    with pytest.raises(OperationCancelledError):
        client.wait_operation(slow).result()
    client.delete_dataset("reviews")


def test_an_operation_says_how_far_it_is(client, files):
    stages = []
    operation = client.upload_dataset("a", files(), kind="labelled")
    client.wait_operation(operation, lambda at: stages.append((at.stage, at.unit))).result()
    assert ("check", "bytes") in stages


def test_a_crash_loses_nothing(tmp_path, files):
    """Killed while a job writes: it begins again by itself, and makes what it would have made.

    A folder without a version, as a daemon leaves it that dies before the catalog's commit, goes.
    """
    process = DaemonProcess(tmp_path / "d")
    state = process.folder / "state"
    with process.client() as client:
        rows = [{"text": f"{n} " + "word " * 3000, "label": "a"} for n in range(600)]
        add(client, files(rows))
        recipe = {"wait": False, "near_duplicates": 0.9, "validation": 0.2}
        job = client.preprocess_dataset("reviews", **recipe).name.removeprefix("operations/")
        wait_for(lambda: list(state.glob(f"operations/{job}/out/version*/rows.jsonl")), 20)
    process.kill()
    orphan = state / "datasets/reviews/2"
    orphan.mkdir()
    (orphan / "rows.jsonl").write_text("{}\n")
    process.start()
    with process.client() as client:
        assert client.list_examples("reviews/versions/1", limit=1)[0].content == rows[0]
        made = client.wait_operation(client.get_operation(f"operations/{job}")).result()
        assert made.number == 2
        again = client.wait_operation(client.preprocess_dataset("reviews/versions/1", **recipe))
        assert again.result().number == 3
        assert again.result().digest == made.digest
        assert list((state / "datasets/.staging").iterdir()) == []
        assert sorted(path.name for path in orphan.parent.iterdir()) == ["1", "2", "3"]
    process.stop()


def test_paused_and_resumed(client, slow):
    """Paused, it has no process; then it begins again."""
    wait_for(lambda: str(client.get_operation(slow.name).state) == "running", 20)
    client.pause_operation(slow.name)
    wait_for(lambda: str(client.get_operation(slow.name).state) == "paused", 20)
    client.resume_operation(slow.name)
    assert client.wait_operation(client.get_operation(slow.name)).result().row_count > 0
    client.delete_dataset("tidy")
    client.delete_dataset("reviews")


def test_a_killed_job_is_a_failed_operation(daemon, client, slow):
    wait_for(lambda: children(daemon.process.pid), 20)
    for pid in children(daemon.process.pid):
        os.kill(pid, signal.SIGKILL)
    assert client.wait_operation(slow).error.reason == "INTERNAL"
    client.delete_dataset("reviews")


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_damage_is_told(daemon, client, files):
    add(client, files())
    path = daemon.folder / "state/datasets/reviews/1/rows.jsonl"
    data = path.read_bytes()
    path.write_bytes(data[:-5])
    with pytest.raises(DataCorruptError):
        client.list_examples("reviews")
    path.write_bytes(data)
    assert len(client.list_examples("reviews", limit=None)) == 60


def test_a_damaged_version_hides_no_other(daemon, client, files):
    whole, damaged = add(client, files()), add(client, files(), name="damaged")
    path = daemon.folder / "state/datasets/damaged/1/manifest.json"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataCorruptError, match=r"manifest\.json"):
        client.get_dataset_version("damaged")
    assert client.list_dataset_versions()[1] == whole
    listed = client.get_dataset("damaged").newest
    assert (listed.digest, listed.row_count, listed.train_rows) == (damaged.digest, 60, 0)
    with pytest.raises(DataCorruptError):
        client.preprocess_dataset("damaged", lowercase=True).result()
    client.delete_dataset("damaged")


def test_the_front_answers_while_a_job_works(client, slow):
    seconds = []
    for _ in range(20):
        began = time.monotonic()
        client.get_dataset("reviews")
        seconds.append(time.monotonic() - began)
    assert sorted(seconds)[10] < 0.5
    assert threading.active_count() < 100
