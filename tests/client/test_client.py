"""The sync client against the fake daemon."""

import pytest
from fake_status import make_status

from llmos_client import (
    CancelOutcome,
    Client,
    FinishReason,
    Health,
    Message,
    OperationState,
    ToolCall,
)


def test_generate_returns_the_whole_answer(client, daemon):
    answer = client.generate("smollm2", "Hi", temperature=0.7, max_tokens=8, stop=["\n"], seed=3)
    assert answer.text == "Hello world"
    assert answer.model_version == "models/smollm2/versions/1"
    assert answer.choices[0].finish_reason is FinishReason.STOP_TOKEN
    assert answer.usage.completion_tokens == 4
    assert answer.timings.time_to_first_token == pytest.approx(0.021)
    assert answer.parameters.temperature == 0.7
    assert answer.parameters.seed == 3
    assert answer.parameters.stop == ("\n",)
    assert answer.parameters.top_p is None
    (request,) = daemon.seen("Generate")
    assert request.text.text == "Hi"
    assert not request.sampling.HasField("top_k")


def test_every_call_has_its_own_request_id(client, daemon):
    client.server_info()
    client.server_info()
    ids = [metadata["x-request-id"] for metadata in daemon.metadata]
    assert len(set(ids)) == 2
    assert all(len(i) == 32 for i in ids)


def test_inputs_are_exclusive(client):
    with pytest.raises(TypeError, match="exactly one"):
        client.generate("smollm2")
    with pytest.raises(TypeError, match="exactly one"):
        client.generate("smollm2", "a", tokens=[1])


@pytest.mark.parametrize(("call", "arguments"), [
    ("generate", ("smollm2", "Hi")),
    ("stream", ("smollm2", "Hi")),
    ("batch_generate", ("smollm2", "rows", "answers")),
    ("evaluate_model", ("smollm2", ["rows"])),
    ("merge_adapter", ("smollm2",)),
    ("create_feedback", ("generations/1", "up")),
    ("learn_from_feedback", ("smollm2",)),
])  # fmt: skip
def test_options_that_there_are_not(client, daemon, call, arguments):
    """Whoever mistypes one hears of it before anything is asked."""
    with pytest.raises(TypeError, match='there is no option "temprature"'):
        getattr(client, call)(*arguments, temprature=0.2)
    with pytest.raises(TypeError, match="is it temperature"):
        client.generate("smollm2", "Hi", temprature=0.2)
    assert not daemon.seen("Generate")


def test_messages_and_tools_reach_the_daemon(client, daemon):
    tool = {"name": "add", "parameters": {"type": "object"}}
    call = ToolCall("c1", "add", "{}")
    turns = [
        Message("system", "Be brief"),
        {"role": "user", "content": "Hi"},
        Message("assistant", tool_calls=[call, {"name": "sub", "arguments": "[]"}]),
        Message("tool", "4", tool_call_id="c1"),
    ]
    client.generate("smollm2", messages=turns, tools=[tool], logprobs=1)
    chat = daemon.seen("Generate")[0].chat
    assert [m.content for m in chat.messages] == ["Be brief", "Hi", "", "4"]
    assert [c.name for c in chat.messages[2].tool_calls] == ["add", "sub"]
    assert chat.messages[3].tool_call_id == "c1"
    assert chat.tools[0].parameters_json_schema == '{"type": "object"}'
    with pytest.raises(ValueError, match="not one of system"):
        client.generate("smollm2", messages=[{"role": "boss", "content": "x"}])


def test_logprobs_come_back_with_their_tokens(client):
    token = client.generate("smollm2", tokens=[1, 2], logprobs=1).choices[0].tokens[0]
    assert (token.id, token.bytes, token.logprob) == (7, b"Hel", -0.5)
    assert token.top[0].id == 7


def test_lists_read_every_page(client, daemon):
    for n in range(4):
        daemon.install(f"model-{n}")
    daemon.page_size = 2
    assert len(client.list_models()) == 5
    assert len(client.list_versions()) == 5
    assert [v.model for v in client.list_versions("model-1")] == ["model-1"]


def test_models_and_versions(client, daemon):
    model = client.get_model("smollm2")
    assert (model.id, model.version_count) == ("smollm2", 1)
    assert model.live.number == 1
    assert model.live.create_time.year == 2023
    assert model.live.residency.state == "unloaded"
    assert client.get_version("models/smollm2/versions/1").license == "Apache-2.0"
    daemon.install("smollm2", number=2)
    client.delete_version("smollm2/versions/2")
    client.delete_model("smollm2", force=True)
    assert client.list_models() == []


def test_upload_sends_the_files_and_returns_the_operation(client, daemon, tmp_path):
    big = tmp_path / "weights.gguf"
    big.write_bytes(b"GGUF" + bytes(3_000_000))
    seen = []
    operation = client.upload_model(
        "tiny", [big], license="MIT", source="here", dtype="bfloat16", on_progress=seen.append
    )
    assert not operation.done
    version = client.wait_operation(operation, seen.append).result()
    assert version.name == "models/tiny/versions/1"
    header, contents = daemon.uploads[0]
    assert contents == [big.read_bytes()]
    assert header.format == 1
    assert len(header.request_id) == 32
    assert {p.stage for p in seen} == {"hash", "upload", "convert"}


def test_load_waits_and_unload_tells_the_memory(client):
    stages = []
    loaded = client.load_model("smollm2", on_progress=stages.append, keep_alive=-1).result()
    assert loaded.version.residency.state == "loaded"
    assert loaded.resident_bytes_loaded == 700_000_000
    assert [p.completed for p in stages] == [1, 2]
    assert client.unload_model("smollm2").result().resident_bytes_after == 91_000_000


def test_load_without_waiting(client, daemon):
    operation = client.load_model("smollm2", wait=False)
    assert operation.state is OperationState.RUNNING
    assert client.wait_operation(operation).result().estimated_bytes == 600_000_000
    assert client.get_operation(operation.name).done
    assert len(client.list_operations()) == 1
    client.cancel_operation(operation.name)
    client.delete_operation(operation.name)
    assert client.list_operations() == []


def test_watching_goes_on_where_the_connection_broke(client, daemon):
    operation = client.load_model("smollm2", wait=False)
    daemon.drop_watch_after = [1, 0]
    events = list(client.watch_operation(operation.name))
    assert [e.sequence for e in events] == [1, 2, 3]
    assert [r.after_sequence for r in daemon.seen("WatchOperation")] == [0, 1, 1]


def test_an_operation_that_failed_raises_its_error(client, daemon):
    full = make_status(
        "RESOURCE_EXHAUSTED", "no room", "INSUFFICIENT_MEMORY", metadata={"needed_bytes": "9"}
    )
    operation = daemon.operate("load-model", "models/x", error=full)
    ended = client.wait_operation(client.get_operation(operation.name))
    with pytest.raises(Exception, match="no room") as caught:
        ended.result()
    assert caught.value.metadata == {"needed_bytes": "9"}


def test_tokens(client):
    assert client.count_tokens("smollm2", "abc").tokens == 3
    assert client.count_tokens("smollm2", messages=[Message("user", "x")]).context_length == 8192
    assert [t.bytes for t in client.tokenize("smollm2", "ab")] == [b"a", b"b"]
    assert client.detokenize("smollm2", [97, 98]) == "ab"
    assert client.render_chat("smollm2", [Message("user", "x")]).text == "<2>x"


def test_the_daemon_itself(client, daemon):
    info = client.server_info()
    assert (info.version, info.uptime, info.limits.max_queue) == ("0.1.0", 3725.0, 64)
    assert client.health() is Health.SERVING
    assert client.cancel_generation("generations/g1") is CancelOutcome.CANCELLED
    with Client(daemon.address, timeout=5) as other:
        assert other.health("") == "serving"
