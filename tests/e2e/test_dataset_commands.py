"""`llmos dataset` and AsyncClient, against a real daemon."""

import json
import subprocess
import sys

import pytest

from daemon import DaemonProcess
from llmos_client import AsyncClient, InvalidDatasetError

ROWS = [
    {"text": "Great phone, mail me at joe@example.com", "label": "good"},
    {"text": "Broke after a day.", "label": "bad"},
    {"text": "broke after  a DAY.", "label": "bad"},
    {"text": "It works. Call +1 415 555 2671.", "label": "good"},
]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    process = DaemonProcess(tmp_path_factory.mktemp("commands"))
    yield process
    process.stop()


@pytest.fixture
def llmos(daemon):
    """Run a command; returns (exit code, standard output, standard error)."""

    def run(*words, code=0):
        command = [sys.executable, "-c", "from llmos_client.cli.main import main; main()"]
        done = subprocess.run(
            [*command, *map(str, words), "--address", daemon.address],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == code, (done.stdout, done.stderr)
        return done.stdout if code == 0 else done.stderr

    return run


@pytest.fixture
def reviews(tmp_path):
    path = tmp_path / "reviews.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_the_walk_of_the_docs(llmos, reviews):
    out = llmos("dataset", "add", reviews, "--name", "reviews", "--kind", "labelled", "--license", "CC-BY-4.0")  # fmt: skip
    assert out.splitlines() == [
        "added datasets/reviews/versions/1: 4 rows of labelled, 1.3 kB",
        "Try: llmos dataset head reviews",
    ]
    assert llmos("dataset", "head", "reviews", "-n", 2).splitlines() == [
        '0  train  {"label": "good", "text": "Great phone, mail me at joe@example.com"}',
        '1  train  {"label": "bad", "text": "Broke after a day."}',
    ]
    out = llmos("dataset", "clean", "reviews", "--pii", "all", "--deduplicate", "--validation", 0.4, "--out", "tidy")  # fmt: skip
    assert out.splitlines() == [
        "made datasets/tidy/versions/1: 3 rows of labelled, 1.9 kB",
        "4 rows read, 3 written; duplicates: 1; replaced: email 1, phone 1",
    ]
    assert [line.split() for line in llmos("dataset", "list").splitlines()] == [
        ["NAME", "NEWEST", "KIND", "ROWS", "SIZE", "LICENSE"],
        ["reviews", "1", "labelled", "4", "1.3", "kB", "CC-BY-4.0"],
        ["tidy", "1", "labelled", "3", "1.9", "kB", "CC-BY-4.0"],
    ]
    shown = llmos("dataset", "show", "tidy")
    assert "made of  datasets/reviews/versions/1" in shown
    assert "deduplicate=true" in shown
    version = json.loads(llmos("-o", "json", "dataset", "show", "tidy/versions/1"))["versions"][0]
    assert version["report"]["personal_data"] == {"email": 1, "phone": 1}
    examples = json.loads(llmos("dataset", "head", "tidy", "-o", "json"))["examples"]
    assert len(examples) == version["row_count"] == 3
    assert examples[0]["content"]["text"] == "Great phone, mail me at [EMAIL]"
    assert llmos("dataset", "rm", "tidy/versions/1") == "removed tidy/versions/1\n"
    assert llmos("dataset", "rm", "reviews") == "removed reviews\n"
    assert llmos("dataset", "list") == ""


def test_bad_rows_as_the_docs_show_them(llmos, tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"text": "ok", "label": "good"}\n{"text": "no label"}\n{"text": "x", "label": "y", "stars": 3}\n')  # fmt: skip
    err = llmos("dataset", "add", path, "--name", "bad", "--kind", "labelled", code=1)
    assert err.splitlines()[-2:] == [
        'error: 2 rows are wrong, and nothing was kept; the first: bad.jsonl:2: field "label" is missing (INVALID_ARGUMENT/INVALID_DATASET). Mend the rows, then add the file again.',
        '  bad.jsonl:3: unknown field "stars"; rows of kind labelled have "text", "label"',
    ]
    assert "llmos dataset list shows what is" in llmos("dataset", "show", "bad", code=1)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["clean", "a"], "no step is asked for"),
        (["clean", "a", "--noise-seed", "1"], "--noise-seed needs --noise"),
        (["clean", "a", "--salt", "x"], "--salt needs --validation or --test"),
        (["clean", "a", "--near-duplicates", "2"], "--near-duplicates"),
        (["clean", "a", "--pii", "names"], "'names' is not one of"),
        (["add", "a.jsonl", "--name", "a"], "--kind"),
        (["lst"], "Did you mean: list?"),
    ],
)
def test_wrong_usage(llmos, words, says):
    assert says in llmos("dataset", *words, code=2)


def test_names_are_completed(daemon, reviews):
    import click

    from llmos_client.cli.completion import complete_dataset
    from llmos_client.cli.options import Settings

    context = click.Context(click.Command("llmos"), obj=Settings(address=daemon.address))
    with daemon.client() as client:
        client.wait_operation(client.upload_dataset("reviews", [reviews], kind="labelled")).result()
        assert complete_dataset(context, None, "re") == ["reviews"]
        assert complete_dataset(context, None, "x") == []
        client.delete_dataset("reviews")
    context.obj = Settings(address="unix:/nowhere")
    assert complete_dataset(context, None, "") == []


async def test_the_async_client(daemon, reviews, tmp_path):
    async with AsyncClient(daemon.address) as client:
        stages = []
        operation = await client.upload_dataset(
            "reviews", [reviews], kind="labelled", on_progress=lambda at: stages.append(at.stage)
        )
        version = (await client.wait_operation(operation)).result()
        assert (stages[0], stages[-1]) == ("hash", "upload")
        made = (await client.preprocess_dataset("reviews", dataset_id="b", test=0.5)).result()
        assert [d.id for d in await client.list_datasets()] == ["b", "reviews"]
        assert await client.get_dataset_version("reviews") == version
        assert await client.list_dataset_versions() == [made, version]
        assert [e.content for e in await client.list_examples("reviews")] == ROWS
        test = await client.list_examples("b", split="test", limit=None)
        assert len(test) == made.test_rows
        bad = tmp_path / "bad.jsonl"
        bad.write_text("{}")
        operation = await client.upload_dataset("c", [bad], kind="text")
        with pytest.raises(InvalidDatasetError):
            (await client.wait_operation(operation)).result()
        await client.delete_dataset_version("b/versions/1")
        await client.delete_dataset("reviews")
        assert await client.list_datasets() == []
