"""Many generations at once: on one Converse call, and on as many calls."""

import asyncio
import threading

import pytest

from llmos_client import AsyncClient, Completed, Delta, Failed, Finished, Rejected, Started

COUNT = 64


def request(at):
    """A request of its own length and seed."""
    return {
        "prompt": f"Number {at} is " + "very " * (at % 9),
        "max_tokens": 4 + at % 13,
        "seed": at,
    }


@pytest.fixture(scope="module")
def expected(daemon):
    """What each request answers on its own."""
    with daemon.client() as client:
        return [client.generate("smollm2", ignore_eos=True, **request(at)) for at in range(COUNT)]


class Transcript:
    """The events of one generation, checked as they come."""

    def __init__(self):
        self.events = []

    def add(self, event):
        assert event.sequence == len(self.events) + 1
        self.events.append(event)

    @property
    def text(self):
        return "".join(event.text for event in self.events if isinstance(event, Delta))

    @property
    def kinds(self):
        return [type(event) for event in self.events]


def test_64_generations_on_one_call(client, expected):
    """Complete, numbered without a gap, and each the same as alone."""
    transcripts = {str(at): Transcript() for at in range(COUNT)}
    with client.converse() as stream:
        for at in range(COUNT):
            stream.start(str(at), "smollm2", ignore_eos=True, **request(at))
        stream.done_sending()
        for event in stream:
            transcripts[event.generation_id].add(event)

    for at, alone in enumerate(expected):
        transcript = transcripts[str(at)]
        assert transcript.text == alone.text
        assert transcript.kinds[0] is Started
        assert transcript.kinds[-2:] == [Finished, Completed]
        assert transcript.events[-1].usage == alone.usage


async def test_64_generations_on_64_calls(daemon, expected):
    """As above, each on a call of its own."""

    async def one(client, at):
        transcript = Transcript()
        async with client.stream("smollm2", ignore_eos=True, **request(at)) as events:
            async for event in events:
                transcript.add(event)
        return transcript

    async with AsyncClient(daemon.address) as client:
        transcripts = await asyncio.gather(*(one(client, at) for at in range(COUNT)))

    for transcript, alone in zip(transcripts, expected, strict=True):
        assert transcript.text == alone.text
        assert transcript.kinds[-1] is Completed


def test_cancel_and_append_between_others(client):
    """A cancelled turn ends as cancelled; an appended one sees what was said before."""
    user = lambda text: {"role": "user", "content": text}  # noqa: E731
    transcripts = {"a": Transcript(), "b": Transcript(), "c": Transcript()}
    with client.converse() as stream:
        stream.start("a", "smollm2", messages=[user("My name is Ada.")], temperature=0.0)
        stream.start(
            "b", "smollm2", prompt="Forever and ever and", max_tokens=2000, ignore_eos=True
        )
        stream.start("c", "smollm2", messages=[user("Name a color.")], temperature=0.0)
        appended = False
        for event in stream:
            transcripts[event.generation_id].add(event)
            if isinstance(event, Delta) and event.generation_id == "b":
                stream.cancel("b")
            if isinstance(event, Completed) and event.generation_id == "a" and not appended:
                appended = True
                stream.append("a", [user("What is my name?")])
                stream.done_sending()

    first, second = (e for e in transcripts["a"].events if isinstance(e, Started))
    assert (first.turn, second.turn) == (1, 2)
    answer = "".join(e.text for e in transcripts["a"].events if isinstance(e, Delta))
    assert second.prompt_tokens > first.prompt_tokens
    assert "Ada" in answer[len(transcripts["a"].events[1].text) :]
    ends = [e for e in transcripts["b"].events if isinstance(e, Finished)]
    assert [end.finish_reason for end in ends] == ["cancelled"]
    assert transcripts["b"].events[-1].usage.completion_tokens < 2000
    assert transcripts["c"].kinds[-1] is Completed


def test_refused_actions_leave_the_stream_alone(client):
    """Each bad action gets its own answer; the generation beside it goes on."""
    user = [{"role": "user", "content": "Count to twenty."}]
    with client.converse() as stream:
        stream.start("good", "smollm2", messages=user, temperature=0.0, max_tokens=40)
        stream.start("good", "smollm2", prompt="again")
        stream.append("good", user)
        stream.append("unknown", user)
        stream.start("nowhere", "no-such-model", prompt="x")
        stream.start("text", "smollm2", prompt="x", max_tokens=1)
        stream.done_sending()
        events = list(stream)

    refused = [(e.generation_id, e.error.reason) for e in events if isinstance(e, Rejected)]
    failed = [(e.generation_id, e.error.reason) for e in events if isinstance(e, Failed)]
    completed = {e.generation_id for e in events if isinstance(e, Completed)}
    assert refused == [
        ("good", "INVALID_FIELD"),
        ("good", "GENERATION_IN_PROGRESS"),
        ("unknown", "GENERATION_NOT_FOUND"),
    ]
    assert failed == [("nowhere", "MODEL_NOT_FOUND")]
    assert completed == {"good", "text"}


def test_cancel_from_another_call(client):
    """CancelGeneration ends a stream with its reason; twice is once."""
    with client.stream("smollm2", "On and on and", max_tokens=3000, ignore_eos=True) as events:
        started = next(events)
        next(events)
        assert client.cancel_generation(started.generation) == "cancelled"
        rest = list(events)
    assert [e.finish_reason for e in rest if isinstance(e, Finished)] == ["cancelled"]
    assert client.cancel_generation(started.generation) == "already_ended"


def test_a_slow_reader_gets_everything(client):
    """A reader that sleeps gets fewer, larger deltas and the whole text."""
    options = {"max_tokens": 120, "seed": 3, "ignore_eos": True}
    whole = client.generate("smollm2", "A long story:", **options)
    gate = threading.Event()
    with client.stream("smollm2", "A long story:", **options) as events:
        next(events)
        gate.wait(timeout=0.3)
        deltas = [event for event in events if isinstance(event, Delta)]
    assert "".join(delta.text for delta in deltas) == whole.text
