"""BatchGenerate: every row once, whatever happens to the daemon meanwhile."""

import json

import pytest

from daemon import wait_for
from llmos_client import InvalidFieldError, ModelInUseError, OperationCancelledError

ROWS = 24


@pytest.fixture
def daemon(new_daemon, tiny_folders):
    daemon = new_daemon()
    daemon.install("tiny", tiny_folders["tiny-llama"])
    questions = [{"prompt": f"count to {at}", "completion": "x"} for at in range(ROWS)]
    daemon.add("questions", questions, "pairs")
    return daemon


def rows(client, name):
    return client.list_examples(name, limit=None)


def test_answers_are_those_of_generate(daemon):
    """In the order of the rows, each the answer it would get alone."""
    with daemon.client() as client:
        job = client.batch_generate("tiny", "questions", "answers", temperature=0.0, max_tokens=8)
        made = client.wait_operation(job).result()
        assert (made.name, made.row_count, made.kind) == (
            "datasets/answers/versions/1",
            ROWS,
            "pairs",
        )
        answers = rows(client, "answers")
        for at in (0, 7, ROWS - 1):
            assert answers[at].content["prompt"] == f"count to {at}"
            messages = [{"role": "user", "content": f"count to {at}"}]
            alone = client.generate("tiny", messages=messages, temperature=0.0, max_tokens=8)
            assert answers[at].content["completion"] == alone.text


def test_goes_on_after_the_daemon_was_killed(daemon):
    """kill -9 in the middle: rows that were answered are not asked again, and none is missing."""
    with daemon.client() as client:
        job = client.batch_generate(
            "tiny", "questions", "answers", temperature=0.0, max_tokens=80, concurrency=2
        ).name
        wait_for(lambda: len(done(daemon, job)) >= 6, 60)
    before = done(daemon, job)
    daemon.kill()
    daemon.start()
    with daemon.client() as client:
        made = client.wait_operation(client.get_operation(job)).result()
        assert made.row_count == ROWS
        assert [each.content["prompt"] for each in rows(client, "answers")] == [
            f"count to {at}" for at in range(ROWS)
        ]
        events = list(client.watch_operation(job))
    again = [at for at, event in enumerate(events) if event.phase == "running"][-1]
    left = next(e.progress.completed for e in events[again:] if e.progress)
    assert left > len(before)  # it went on with the rows that were left
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))


def test_chats_and_rows_that_cannot_be_answered(daemon):
    """A chat is answered where its last answer was; a row that is too long is told, and left out."""
    chats = [
        {
            "messages": [
                {"role": "user", "content": "hello"},
                {"role": "assistant", "content": "no"},
            ]
        },
        {
            "messages": [
                {"role": "user", "content": "long " * 400},
                {"role": "assistant", "content": "x"},
            ]
        },
    ]
    daemon.add("chats", chats, "chat")
    with daemon.client() as client:
        job = client.batch_generate("tiny", "chats", "said", max_tokens=4, temperature=0.0)
        made = client.wait_operation(job).result()
        assert (made.row_count, made.kind) == (1, "chat")
        (answer,) = rows(client, "said")
        assert [each["role"] for each in answer.content["messages"]] == ["user", "assistant"]
        warnings = [event.warning for event in client.watch_operation(job.name) if event.warning]
        assert len(warnings) == 1
        assert warnings[0].startswith("row 1: ")


def test_cancel_and_guards(daemon):
    """Cancelled, it leaves no dataset; while it runs, its model stays; n is refused."""
    with daemon.client() as client:
        with pytest.raises(InvalidFieldError, match="sampling"):
            client.batch_generate("tiny", "questions", "answers", n=2)
        job = client.batch_generate(
            "tiny", "questions", "answers", max_tokens=200, concurrency=1, temperature=0.0
        )
        wait_for(lambda: len(done(daemon, job.name)) >= 1, 60)
        with pytest.raises(ModelInUseError):
            client.delete_model("tiny", force=True)
        client.cancel_operation(job.name)
        with pytest.raises(OperationCancelledError):
            client.wait_operation(job).result()
        assert [each.id for each in client.list_datasets()] == ["questions"]


def done(daemon, job):
    """The rows that are answered, in the order they were."""
    path = daemon.folder / "state" / job / "out" / "answers.jsonl"
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    return [json.loads(line)["row"] for line in lines]
