"""The sync client's streams: events in order, and calls that always end."""

import pytest
from fake_status import make_status

from llmos_client import (
    Completed,
    Delta,
    Failed,
    Finished,
    FinishReason,
    Message,
    ModelNotFoundError,
    Rejected,
    Started,
)


def test_stream_yields_typed_events_in_order(client):
    with client.stream("smollm2", "Hi") as events:
        got = list(events)
    assert [type(e) for e in got] == [Started, Delta, Delta, Delta, Delta, Finished, Completed]
    assert [e.sequence for e in got] == list(range(1, 8))
    assert got[0].generation == "generations/g1"
    assert got[-1].usage.prompt_tokens == 5


def test_stream_text_is_the_text_alone(client):
    with client.stream("smollm2", "Hi") as events:
        assert "".join(events.text()) == "Hello world"


def test_leaving_the_block_cancels_the_daemons_handler(client, daemon):
    daemon.hold_after = 1
    with client.stream("smollm2", "Hi") as events:
        for event in events:
            if isinstance(event, Delta):
                break
    assert daemon.cancelled_event.wait(5)


def test_an_abandoned_stream_cancels_the_daemons_handler(client, daemon):
    daemon.hold_after = 1
    events = client.stream("smollm2", "Hi")
    next(events)
    del events
    assert daemon.cancelled_event.wait(5)


def test_a_cancelled_stream_just_ends(client, daemon):
    daemon.hold_after = 1
    with client.stream("smollm2", "Hi") as events:
        next(events)
        events.cancel()
        assert all(isinstance(e, Delta) for e in events)


def test_stream_of_an_unknown_model_raises(client):
    with client.stream("nope", "Hi") as events, pytest.raises(ModelNotFoundError) as caught:
        next(events)
    assert caught.value.request_id == events.request_id


def test_converse_interleaves_generations(client, daemon):
    with client.converse() as talk:
        talk.start("a", "smollm2", messages=[{"role": "user", "content": "one"}])
        talk.start("b", "smollm2", messages=[{"role": "user", "content": "two"}])
        talk.done_sending()
        got = list(talk)
    for name in ("a", "b"):
        own = [e for e in got if e.generation_id == name]
        assert [e.sequence for e in own] == list(range(1, 8))
        assert "".join(e.text for e in own if isinstance(e, Delta)) == "Hello world"
    order = [e.generation_id for e in got]
    assert order != sorted(order)


def test_converse_appends_and_cancels(client, daemon):
    with client.converse() as talk:
        talk.start("a", "smollm2", messages=[{"role": "user", "content": "one"}])
        first = _until_completed(talk)
        assert first[0].turn == 1
        daemon.hold_after = 1
        talk.append("a", [Message("user", "two")])
        assert next(talk).turn == 2
        talk.cancel("a")
        rest = _until_completed(talk)
        assert rest[-2].finish_reason is FinishReason.CANCELLED
    assert daemon.transcripts["a"] == ["one", "Hello world", "two", "Hello world"]


def test_converse_goes_on_after_a_failure_and_a_rejection(client, daemon):
    daemon.converse_failures["bad"] = make_status("RESOURCE_EXHAUSTED", "full", "QUEUE_FULL")
    with client.converse() as talk:
        talk.start("bad", "smollm2", "x")
        failed = next(talk)
        assert isinstance(failed, Failed)
        assert failed.error.reason == "QUEUE_FULL"
        talk.append("never", [Message("user", "x")])
        rejected = next(talk)
        assert isinstance(rejected, Rejected)
        assert rejected.error.reason == "GENERATION_NOT_FOUND"
        talk.start("good", "smollm2", "x")
        assert isinstance(_until_completed(talk)[-1], Completed)


def test_closing_a_conversation_cancels_what_runs(client, daemon):
    daemon.hold_after = 1
    with client.converse() as talk:
        talk.start("a", "smollm2", "x")
        next(talk)
    assert daemon.cancelled_event.wait(5)


def _until_completed(talk):
    got = []
    for event in talk:
        got.append(event)
        if isinstance(event, Completed):
            break
    return got
