"""Each numeric field of each request at its extremes, found by walking the contract (T65)."""

import base64
import math

import grpc
import pytest

import threats
from llmos.v1 import generation_service_pb2 as pb
from llmos.v1 import model_service_pb2 as models
from threats import BROKEN, code_of, fields, place, raw, refusal

NAN, INF = math.nan, math.inf

pytestmark = pytest.mark.usefixtures("unharmed")


@pytest.fixture(scope="module")
def channel(daemon):
    with raw(daemon) as channel:
        yield channel


@pytest.fixture(scope="module")
def operation(daemon):
    """One that has ended: loading the model."""
    with daemon.client() as client:
        return client.list_operations()[0].name


def test_every_number_of_every_request(channel, operation):
    """T65: min, -1, 0, 1, max, NaN and Inf in each numeric field: never UNKNOWN or INTERNAL."""
    tried = 0
    for method in threats.methods(channel):
        for above, field in fields(method.request.DESCRIPTOR):
            for value in _extremes(field):
                message = _with(method, above, field, value)
                if method.path.endswith(("/WatchOperation", "/WaitOperation")):
                    message.name = operation
                # A long answer is not waited for: what counts is that it was understood.
                code = code_of(channel, method, message.SerializeToString(), timeout=2)
                assert code not in BROKEN, (method.path, field.full_name, value)
                tried += 1
    assert tried > 300


def _extremes(field):
    integers = {
        field.CPPTYPE_INT32: (-(2**31), -1, 0, 1, 2**31 - 1),
        field.CPPTYPE_INT64: (-(2**63), -1, 0, 1, 2**63 - 1),
        field.CPPTYPE_UINT32: (0, 1, 2**32 - 1),
        field.CPPTYPE_UINT64: (0, 1, 2**64 - 1),
    }
    floats = (-3e38, -1.0, 0.0, 1.0, 3e38, NAN, INF, -INF)
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return floats
    return integers.get(field.cpp_type, ())


def _with(method, above, field, value):
    """A request that is right but for one number; it names a model only where nothing is lost."""
    message = method.request()
    for name in ("model", "name"):
        if name in message.DESCRIPTOR.fields_by_name:
            setattr(message, name, "smollm2" if name == "model" else "no-such")
    if method.path.endswith("LoadModel"):
        message.name, message.validate_only = "smollm2", True
    for generation in (message, getattr(message, "start", None)):
        if isinstance(generation, pb.GenerateRequest):
            generation.model = "smollm2"
            generation.text.text = "One, two,"
            generation.stopping.max_tokens = 1
    if isinstance(message, pb.ConverseRequest):
        message.generation_id = "g"
    if above and above[-1].message_type.GetOptions().map_entry:
        entries = getattr(place(message, above[:-1]), above[-1].name)
        entries.update({5 if field.name == "value" else value: value} if _fits(field) else {})
    elif field.is_repeated:
        getattr(place(message, above), field.name).append(value)
    else:
        setattr(place(message, above), field.name, value)
    return message


def _fits(field):
    return field.containing_type.fields_by_name["key"].cpp_type == field.CPPTYPE_UINT32


def encode(text):
    return base64.urlsafe_b64encode(text.encode()).decode()


TOKENS = [
    "x", "\x00", "=", "MQ", "4pyT", encode("a"), encode("-1"), encode("1e5"), encode("\u00b2"),
    encode("9" * 30), encode("1\n2\n3"), encode("a\nb"), encode("a\n" + "9" * 5000), encode("\n"),
]  # fmt: skip


@pytest.mark.parametrize("name", ["ListModels", "ListModelVersions", "ListOperations"])
def test_page_tokens(channel, name):
    """Tokens that this daemon did not give: refused by name, or a page like any other."""
    method = threats.method(name)
    for token in TOKENS:
        request = method.request(page_token=token)
        if name == "ListModelVersions":
            request.parent = "models/-"
        code = code_of(channel, method, request.SerializeToString())
        assert code in {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}, token


@pytest.mark.parametrize("keep_alive", [(2**63 - 1, 0), (315_576_000_000, 0), (1, -1), (0, 10**9)])
def test_durations(channel, keep_alive):
    """A duration that is none, or that no date can hold, is refused before anything is loaded."""
    request = models.LoadModelRequest(name="smollm2", validate_only=True)
    request.keep_alive.seconds, request.keep_alive.nanos = keep_alive
    found = refusal(channel, threats.method("LoadModel"), request.SerializeToString())
    assert found.label == "INVALID_ARGUMENT/INVALID_FIELD"
    assert found.fields == ["keep_alive"]
