"""Bytes that are no message, and messages of other contracts (T01 to T03, T08)."""

import os
import random

import grpc
import pytest
from google.protobuf import descriptor as protobuf
from google.protobuf import message as protobuf_message

import threats
from buf.validate import validate_pb2
from llmos.v1 import admin_service_pb2, generation_service_pb2
from threats import BROKEN, code_of, fields, place, raw, refusal

# Messages per method and kind; more on demand: LLMOS_FUZZ=1000.
COUNT = int(os.environ.get("LLMOS_FUZZ", "40"))
INFO = threats.method("GetServerInfo")

pytestmark = pytest.mark.usefixtures("unharmed")


@pytest.fixture(scope="module")
def channel(daemon):
    with raw(daemon) as channel:
        yield channel


@pytest.fixture(scope="module")
def methods(channel):
    return threats.methods(channel)


def sample(method):
    """A request with every field set; it names a model only where nothing can be lost."""
    request = method.request()
    harmless = ("Generation", "Tokenization")
    model = "smollm2" if any(f".{name}Service" in method.path for name in harmless) else "no-such"
    for above, field in fields(request.DESCRIPTOR):
        if any(f.message_type.GetOptions().map_entry for f in (*above, field) if f.message_type):
            continue
        value = _value(field, model)
        if value is None:
            continue
        message = place(request, above)
        if field.is_repeated:
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)
    return request


def _value(field, model):
    if field.type == field.TYPE_MESSAGE:
        return None
    if field.type == field.TYPE_ENUM:
        return field.enum_type.values[-1].number
    if field.type == field.TYPE_BYTES:
        return b"bytes"
    if field.type == field.TYPE_STRING:
        return {"model": model, "name": model, "arguments_json": "{}"}.get(field.name, "text")
    return 1


def mutated(data, chance):
    data = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(data)) if data else 0
        kind = chance.randrange(4)
        if kind == 0 and data:
            data[at] = chance.randrange(256)
        elif kind == 1:
            data[at:at] = chance.randbytes(chance.randrange(1, 5))
        elif kind == 2:
            del data[at : at + chance.randrange(1, 5)]
        else:
            data += data[at : at + chance.randrange(1, 20)]
    return bytes(data)


def test_reflection_lists_what_is_served(methods):
    """The walk below misses nothing: all services of ours, operations, health, reflection."""
    services = {method.path.split("/")[1] for method in methods}
    assert {service for service in services if service.startswith("llmos.v1.")} == {
        f"llmos.v1.{name}Service"
        for name in (
            "Access",
            "Admin",
            "Dataset",
            "Evaluation",
            "Feedback",
            "Generation",
            "Latent",
            "Model",
            "Operation",
            "Optimization",
            "Scoring",
            "Tokenization",
            "Training",
        )
    }
    assert {"google.longrunning.Operations", "grpc.health.v1.Health"} < services
    assert len(methods) >= 25


def test_random_and_mutated_bytes(daemon, channel, methods):
    """T01: never UNKNOWN or INTERNAL, and the daemon logs no crash."""
    chance = random.Random(1)
    seen = {}
    for method in methods:
        base = sample(method).SerializeToString()
        for number in range(2 * COUNT):
            size = chance.choice((1, 3, 10, 100, 1000))
            data = chance.randbytes(size) if number % 2 else mutated(base, chance)
            code = code_of(channel, method, data, timeout=5)
            assert code not in BROKEN, (method.path, data)
            seen[code] = seen.get(code, 0) + 1
    assert seen[grpc.StatusCode.INVALID_ARGUMENT] > sum(seen.values()) / 2
    assert "call_crashed" not in daemon.log.read_text()


def test_deep_nesting(channel, methods):
    """T02: a message 400 groups deep is no message."""
    for method in methods:
        code = code_of(channel, method, b"\x0b" * 400 + b"\x0c" * 400)
        assert code is grpc.StatusCode.INVALID_ARGUMENT, method.path


def test_strings_that_are_not_utf_8(channel, methods):
    """T03: in every string field of every method: MALFORMED_MESSAGE."""
    tried = 0
    for method in methods:
        for above, field in fields(method.request.DESCRIPTOR):
            if field.type != field.TYPE_STRING:
                continue
            request = method.request()
            _write(request, above, field, "PLACE")
            data = request.SerializeToString().replace(b"PLACE", b"ab\xff\xfe\xed")
            found = refusal(channel, method, data)
            assert found.label == "INVALID_ARGUMENT/MALFORMED_MESSAGE", (method.path, field.name)
            tried += 1
    assert tried > 50


def _write(request, above, field, text):
    """A string into a field, an item of a list, or a key or value of a map."""
    if above and above[-1].message_type.GetOptions().map_entry:
        entries = getattr(place(request, above[:-1]), above[-1].name)
        if field.name == "value":
            entries["a"] = text
        else:
            entries[text]  # looking is making
    elif field.is_repeated:
        getattr(place(request, above), field.name).append(text)
    else:
        setattr(place(request, above), field.name, text)


def test_without_our_handling_grpc_says_unknown(tmp_path):
    """The control of T01 and T03: a server without the interceptor leaks its exception."""

    def answer(request, context):
        raise ValueError("secret of /etc/path")

    from concurrent.futures import ThreadPoolExecutor

    handler = grpc.unary_unary_rpc_method_handler(
        answer, request_deserializer=generation_service_pb2.GenerateRequest.FromString
    )
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("x", {"Y": handler}),))
    server.add_insecure_port(f"unix:{tmp_path}/s")
    server.start()
    with grpc.insecure_channel(f"unix:{tmp_path}/s") as channel, pytest.raises(grpc.RpcError) as e:
        channel.unary_unary("/x/Y")(b"", timeout=10)
    server.stop(0)
    assert e.value.code() is grpc.StatusCode.UNKNOWN
    with pytest.raises(AssertionError, match="an absolute path"):
        threats.taken_apart(e.value)


def test_unknown_values_of_every_enum(channel, methods):
    """T08: in each enum field of each request: INVALID_FIELD, and the field is named."""
    tried = set()
    for method in methods:
        for above, field in fields(method.request.DESCRIPTOR):
            if field.type != field.TYPE_ENUM:
                continue
            for value in (99, 2**31 - 1, -1):
                request = method.request()
                if field.is_repeated:
                    getattr(place(request, above), field.name).append(value)
                else:
                    setattr(place(request, above), field.name, value)
                found = refusal(channel, method, request.SerializeToString())
                assert found.label == "INVALID_ARGUMENT/INVALID_FIELD", (method.path, field.name)
                path = ".".join([f.name for f in above] + [field.name])
                assert path in {f.replace("[0]", "") for f in found.fields}, found
            tried.add(field.full_name)
    assert len(tried) >= 4


def test_unset_oneofs(channel, methods):
    """T08: a required oneof that is not set is named."""
    tried = 0
    for method in methods:
        for name, oneof in method.request.DESCRIPTOR.oneofs_by_name.items():
            if not method.path.startswith("/llmos.") or name.startswith("_"):
                continue
            if not oneof.GetOptions().Extensions[validate_pb2.oneof].required:
                continue
            assert isinstance(oneof, protobuf.OneofDescriptor)
            found = refusal(channel, method, b"")
            assert found.label == "INVALID_ARGUMENT/INVALID_FIELD", method.path
            assert name in found.fields
            tried += 1
    assert tried >= 4


def test_unknown_fields_are_ignored(channel):
    """T08: a newer client's fields change nothing."""
    call = threats.start(channel, INFO, b"\xfa\x3e\x05hello")
    answer = admin_service_pb2.GetServerInfoResponse.FromString(call.result())
    assert answer.api_versions == ["llmos.v1"]
    request = generation_service_pb2.GenerateRequest(model="smollm2")
    with pytest.raises(protobuf_message.DecodeError):
        request.MergeFromString(b"\xfa\x3e\x05hel")
    request.text.text = "One, two,"
    request.stopping.max_tokens = 2
    request.sampling.temperature = 0
    plain, extended = (
        generation_service_pb2.GenerateResponse.FromString(
            threats.start(channel, threats.method("Generate"), data).result()
        ).choices[0]
        for data in (request.SerializeToString(), request.SerializeToString() + b"\xfa\x3e\x01a")
    )
    assert plain == extended
