"""The asyncio client: the same calls, and what is different about asyncio."""

import asyncio

import pytest
from fake_status import make_status

from llmos_client import (
    AsyncClient,
    CallCancelledError,
    Client,
    Completed,
    DaemonUnreachable,
    Delta,
    Message,
    ModelNotFoundError,
    QueueFullError,
)


def test_both_clients_have_the_same_methods():
    def methods(kind):
        return {name for name in dir(kind) if not name.startswith("_")}

    assert methods(Client) == methods(AsyncClient)


async def test_generate_and_the_small_calls(aclient):
    assert (await aclient.generate("smollm2", "Hi")).text == "Hello world"
    assert (await aclient.count_tokens("smollm2", "abc")).tokens == 3
    assert [t.id for t in await aclient.tokenize("smollm2", "a")] == [97]
    assert await aclient.detokenize("smollm2", [97]) == "a"
    assert (await aclient.render_chat("smollm2", [Message("user", "x")])).ids
    assert [m.id for m in await aclient.list_models()] == ["smollm2"]
    assert (await aclient.get_model("smollm2")).version_count == 1
    assert (await aclient.get_version("smollm2")).number == 1
    assert len(await aclient.list_versions("smollm2")) == 1
    assert (await aclient.server_info()).pid == 4241
    assert await aclient.health() == "serving"
    assert await aclient.cancel_generation("generations/g1") == "cancelled"


async def test_stream(aclient):
    async with aclient.stream("smollm2", "Hi") as events:
        assert "".join([text async for text in events.text()]) == "Hello world"


async def test_breaking_out_cancels_the_daemons_handler(aclient, daemon):
    daemon.hold_after = 1
    async with aclient.stream("smollm2", "Hi") as events:
        async for event in events:
            if isinstance(event, Delta):
                break
    assert await asyncio.to_thread(daemon.cancelled_event.wait, 5)


async def test_an_abandoned_stream_cancels_the_daemons_handler(aclient, daemon):
    daemon.hold_after = 1
    events = aclient.stream("smollm2", "Hi")
    await anext(events)
    del events
    assert await asyncio.to_thread(daemon.cancelled_event.wait, 5)


async def test_cancelling_the_task_cancels_the_daemons_handler(aclient, daemon):
    daemon.hold_after = 1

    async def read():
        async with aclient.stream("smollm2", "Hi") as events:
            async for _ in events:
                pass

    task = asyncio.create_task(read())
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(daemon.cancelled_event.wait, 5)


async def test_a_cancelled_stream_just_ends(aclient, daemon):
    daemon.hold_after = 1
    async with aclient.stream("smollm2", "Hi") as events:
        await anext(events)
        asyncio.get_running_loop().call_later(0.1, events.cancel)
        assert all(isinstance(e, Delta) for e in [e async for e in events])


async def test_errors_are_typed(aclient, daemon):
    async with aclient.stream("nope", "Hi") as events:
        with pytest.raises(ModelNotFoundError):
            await anext(events)
    daemon.fail["Generate"] = make_status("RESOURCE_EXHAUSTED", "full", "QUEUE_FULL", retry_after=2)
    with pytest.raises(QueueFullError) as caught:
        await aclient.generate("smollm2", "x")
    assert caught.value.retry_after == 2
    with pytest.raises(ModelNotFoundError):
        await aclient.get_model("nope")


async def test_unreachable(tmp_path):
    async with AsyncClient(f"unix:{tmp_path}/none.sock") as client:
        with pytest.raises(DaemonUnreachable) as caught:
            await client.server_info()
    assert caught.value.address.endswith("none.sock")


async def test_converse(aclient, daemon):
    async with aclient.converse() as talk:
        await talk.start("a", "smollm2", messages=[Message("user", "one")])
        await talk.start("b", "smollm2", messages=[Message("user", "two")])
        done = []
        async for event in talk:
            if isinstance(event, Completed):
                done.append(event.generation_id)
            if len(done) == 2:
                break
        await talk.append("a", [Message("user", "more")])
        assert (await anext(talk)).turn == 2
        daemon.hold_after = 0
        await talk.cancel("a")
        await talk.done_sending()
        rest = [e async for e in talk]
    assert sorted(done) == ["a", "b"]
    assert isinstance(rest[-1], Completed)


async def test_sending_on_a_closed_conversation(aclient):
    async with aclient.converse() as talk:
        talk.close()
        with pytest.raises((CallCancelledError, asyncio.CancelledError)):
            await talk.start("a", "smollm2", "x")


async def test_upload_load_watch_unload(aclient, daemon, tmp_path):
    file = tmp_path / "tiny.gguf"
    file.write_bytes(b"GGUF" * 600_000)
    stages = []
    operation = await aclient.upload_model("tiny", [file], on_progress=stages.append)
    version = (await aclient.wait_operation(operation, stages.append)).result()
    assert version.model == "tiny"
    assert {p.stage for p in stages} == {"hash", "upload", "convert"}
    daemon.drop_watch_after = [1]
    assert (await aclient.load_model("tiny")).result().estimated_bytes == 600_000_000
    assert (await aclient.unload_model("tiny")).result().resident_bytes_after == 91_000_000
    assert len(await aclient.list_operations()) == 3
    name = (await aclient.load_model("tiny", wait=False)).name
    assert [e.sequence async for e in aclient.watch_operation(name)] == [1, 2, 3]
    assert (await aclient.get_operation(name)).done
    await aclient.cancel_operation(name)
    await aclient.delete_operation(name)
    await aclient.delete_version("tiny/versions/1", force=True)
    await aclient.delete_model("smollm2")
    assert await aclient.list_models() == []
