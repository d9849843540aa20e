"""Classes, tenants, deadlines and the load, through a real daemon and a real engine."""

import threading

import pytest

from daemon import wait_for
from factory import tiny_llama_folder
from llmos_client import (
    AsyncClient,
    Client,
    Completed,
    DeadlineUnattainableError,
    Delta,
    Failed,
    QueueFullError,
    Started,
)

LONG = {"temperature": 0.9, "seed": 5, "max_tokens": 150, "ignore_eos": True}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny model with room for long answers."""
    return tiny_llama_folder(tmp_path_factory.mktemp("tiny"), max_position_embeddings=2048)


@pytest.fixture
def small(new_daemon, folder):
    """A daemon that computes one answer at a time."""

    def make(**settings):
        process = new_daemon(**({"max_sequences": 1, "keep_alive_seconds": -1} | settings))
        process.install("m", folder)
        process.load("m")
        return process

    return make


def load_of(client):
    """The load of the one model."""
    with client.watch_load() as events:
        (model,) = next(events).models
    return model


def until(client, condition):
    """Wait until the load is such; returns it."""
    with client.watch_load(interval=0.1) as events:
        for _, load in zip(range(600), events, strict=False):
            (model,) = load.models
            if condition(model):
                return model
    raise AssertionError(model)


class Flood:
    """Many long generations of a tenant on one stream; who began and ended, in order."""

    def __init__(self, address, tenant, count, **options):
        self.client = Client(address, tenant=tenant)
        self.stream = self.client.converse()
        self.begun, self.ended, self.failed, self.texts = [], [], {}, {}
        for at in range(count):
            self.stream.start(str(at), "m", f"Number {at}", **{**LONG, **options})
        self.stream.done_sending()
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self):
        for event in self.stream:
            key = event.generation_id
            if isinstance(event, Delta):
                if key not in self.texts:
                    self.begun.append(key)
                self.texts[key] = self.texts.get(key, "") + event.text
            elif isinstance(event, Completed):
                self.ended.append(key)
            elif isinstance(event, Failed):
                self.failed[key] = event.error

    def __enter__(self):
        wait_for(lambda: self.begun, 20)
        return self

    def __exit__(self, *_):
        self.stream.close()
        self.thread.join()
        self.client.close()


def test_a_light_tenant_starts_soon(small):
    """One request beside thirty of another tenant; under the same name, the control, it is last."""
    daemon = small(max_sequences=2)
    known, begun = _begun_meanwhile(daemon.address, "light")
    assert known < 25
    assert begun <= 4
    known, begun = _begun_meanwhile(daemon.address, "heavy")
    assert known < 25
    assert begun == 30 - known


def _begun_meanwhile(address, tenant):
    """How many of a heavy tenant's had begun when another one came, and how many did before it."""
    with Client(address, tenant=tenant) as client, Flood(address, "heavy", 30) as flood:
        until(client, lambda load: load.running + load.waiting + len(flood.ended) >= 30)
        with client.stream("m", "Me too", **LONG) as events:
            assert isinstance(next(events), Started)  # the engine has it now
            known = len(flood.begun)
            next(event for event in events if isinstance(event, Delta))
            begun = len(flood.begun) - known
        flood.thread.join()
        assert len(flood.ended) == 30
    return known, begun


def test_high_goes_before_low_and_neither_changes(small):
    """Interrupted and computed again, to the same bits; of the same class it waits."""
    daemon = small(max_sequences=2)
    with daemon.client() as client:
        longer = LONG | {"max_tokens": 600}
        alone = [client.generate("m", f"Number {at}", **longer).text for at in range(2)]
        urgent = client.generate("m", "Now!", n=2, **LONG).choices
        for priority, interrupts in (("high", True), ("low", False)):
            known = load_of(client).preemptions
            with Flood(daemon.address, "", 2, **longer, priority="low") as flood:
                wait_for(lambda flood=flood: len(flood.begun) == 2, 20)
                answer = client.generate("m", "Now!", n=2, priority=priority, **LONG)
                ended = len(flood.ended)
                flood.thread.join()
                assert answer.choices == urgent
                assert [flood.texts[str(at)] for at in range(2)] == alone
            assert (load_of(client).preemptions - known == 2) is interrupts
            assert (ended == 0) is interrupts


@pytest.mark.parametrize("how", ["generate", "stream", "converse", "score"])
async def test_a_deadline_that_cannot_be_met_is_refused(small, how):
    """As soon as the estimate says so; before anything was measured, nothing is."""
    daemon = small()
    text = "Once upon a time " * 20
    with daemon.client() as client:
        client.generate("m", text, timeout=60, **LONG)  # measured now
        with client.converse() as flood:
            for at in range(250):
                flood.start(str(at), "m", text, **LONG | {"max_tokens": 1500})
            waited = until(client, lambda load: load.estimated_wait > 4).estimated_wait
            seconds = min(waited / 2, 20.0)
            with pytest.raises(DeadlineUnattainableError) as caught:
                await _ask(daemon.address, how, seconds)
            error = caught.value
            assert error.label == "DEADLINE_EXCEEDED/DEADLINE_UNATTAINABLE"
            estimate, deadline = (
                float(error.metadata[f"{name}_seconds"]) for name in ("estimate", "deadline")
            )
            assert 0 < deadline < seconds * 1.01 < estimate  # gRPC rounds it up a little
            until(client, lambda load: load.late == 1)
            # Nobody is before it now.
            answer = client.generate("m", "Hi", priority="high", timeout=seconds, max_tokens=1)
            assert answer.usage.completion_tokens == 1


async def _ask(address, how, seconds):
    async with AsyncClient(address) as client:
        if how == "score":
            await client.score("m", "Me too", timeout=seconds)
        elif how == "generate":
            await client.generate("m", "Me too", timeout=seconds)
        elif how == "stream":
            async with client.stream("m", "Me too", timeout=seconds) as events:
                async for _ in events:
                    pass
        else:
            async with client.converse(timeout=seconds) as stream:
                await stream.start("a", "m", "Me too")
                async for event in stream:
                    if isinstance(event, Failed):
                        raise event.error


def test_a_full_queue_has_room_for_who_has_less(small):
    """The flood loses its last one; its own next one, the control, is refused."""
    daemon = small(max_queue=4)
    with Flood(daemon.address, "heavy", 5, max_tokens=1500) as flood:
        with daemon.client() as client:
            until(client, lambda load: load.waiting == 4)
        with Client(daemon.address, tenant="heavy") as client, pytest.raises(QueueFullError):
            client.generate("m", "One more", **LONG)
        with Client(daemon.address, tenant="light") as client:
            events = client.stream("m", "Me too", **LONG)
            wait_for(lambda: flood.failed, 20)
            assert [(key, error.reason) for key, error in flood.failed.items()] == [
                ("4", "QUEUE_FULL")
            ]
            flood.stream.close()
            with events:
                assert any(isinstance(event, Completed) for event in events)


def test_the_load_shows_what_was_done(small):
    """Counts add up, by class and by tenant."""
    daemon = small(max_sequences=2, tenant_weights='{"gold": 2.5}')
    with daemon.client() as client:
        idle = load_of(client)
        assert (idle.running, idle.waiting, idle.generated_tokens) == (0, 0, 0)
        with (
            Flood(daemon.address, "gold", 4, priority="low"),
            Flood(daemon.address, "", 5, max_tokens=100),
        ):
            busy = until(client, lambda load: sum(each.waiting for each in load.classes) > 2)
            classes = {each.priority: each.waiting for each in busy.classes}
            assert list(classes) == ["low", "normal", "high"]
            assert classes["low"] + classes["normal"] > 2
            assert classes["high"] == 0
            assert 0 < busy.kv_blocks_used <= busy.kv_blocks_total
            done = until(
                client, lambda load: load.running == load.waiting == 0 and load.steps > 100
            )
    tenants = {each.tenant: each for each in done.tenants}
    assert {name: each.weight for name, each in tenants.items()} == {"gold": 2.5, "": 1.0}
    assert tenants["gold"].generated_tokens == 4 * LONG["max_tokens"]
    assert tenants[""].generated_tokens == 5 * 100
    assert done.generated_tokens == 4 * LONG["max_tokens"] + 500
    assert tenants["gold"].prompt_tokens > 0
    assert done.model_version == "models/m/versions/1"
    assert done.steps > 200
    assert done.estimated_wait == 0


def test_watching_does_not_hold_up_the_end(small):
    """A stream without an end ends with the daemon, and says why."""
    daemon = small(drain_seconds=30)
    with daemon.client() as client, client.watch_load() as events:
        next(events)
        stopping = threading.Thread(target=daemon.stop)
        stopping.start()
        with pytest.raises(Exception, match="stopping") as caught:
            list(events)
        assert caught.value.reason == "SERVER_DRAINING"
        stopping.join(timeout=20)
        assert not stopping.is_alive()


def test_a_wrong_interval_is_refused(client):
    for interval in (0.0, 0.01, 61.0, -1.0):
        with (
            pytest.raises(Exception, match="interval") as caught,
            client.watch_load(interval=interval) as events,
        ):
            next(events)
        assert caught.value.reason == "INVALID_FIELD"
