"""Parameters that are no numbers, out of range, or too many (T51 to T61, T63)."""

import math
import struct
import time

import pytest

import threats
from llmos.v1 import generation_service_pb2 as pb
from llmos_client import InvalidFieldError, LlmosError
from threats import raw, refusal

NAN, INF = math.nan, math.inf
CONTEXT, VOCABULARY = 8192, 49152  # of smollm2
GENERATE = threats.method("Generate")
SECRET = "The old man and the sea"

pytestmark = pytest.mark.usefixtures("unharmed")


@pytest.fixture(scope="module")
def channel(daemon):
    with raw(daemon) as channel:
        yield channel


def request(**parameters):
    """A GenerateRequest for one greedy token, with fields "sampling.n" and so on changed."""
    made = pb.GenerateRequest(model="smollm2")
    made.text.text = SECRET
    made.stopping.max_tokens = 1
    for path, value in parameters.items():
        above, _, name = path.rpartition("__")
        target = made
        for part in filter(None, above.split("__")):
            target = getattr(target, part)
        if isinstance(value, dict):
            getattr(target, name).update(value)
        elif isinstance(value, list):
            getattr(target, name).extend(value)
        else:
            setattr(target, name, value)
    return made


NUMBERS = {
    # T51
    "sampling__temperature": [NAN, INF, -INF, -1.0, -1e-45, 10.001, 1e38],
    # T52; min_p 0 means off and top_p 0 nothing.
    "sampling__top_p": [NAN, INF, -INF, 0.0, -1.0, 1.0000001, 2.0],
    "sampling__min_p": [NAN, INF, -INF, -1.0, 1.0000001, 2.0],
    # T53
    "sampling__top_k": [-1, -5, -(2**31)],
    # T54
    "sampling__n": [0, 65, 10**6, 2**32 - 1],
    # T55
    "stopping__max_tokens": [0],
    "stopping__min_tokens": [2, 2**32 - 1],
    # T56
    "output__logprobs": [21, VOCABULARY, 10**9, 2**32 - 1],
    # T57
    "stopping__stop": [[""], ["a"] * 17, ["a"] * 10_000, ["a" * 257], ["a" * 10**6]],
    # T58
    "sampling__logit_bias": [
        {VOCABULARY: 1.0},
        {2**32 - 1: 1.0},
        {5: NAN},
        {5: INF},
        {5: -INF},
        {5: 100.5},
        dict.fromkeys(range(1025), 1.0),
        dict.fromkeys(range(300_000), 1.0),
    ],
    "stopping__stop_token_ids": [[VOCABULARY], [2**32 - 1], [1] * 65],
    # T59
    "tokens__ids": [[VOCABULARY], [2**31 - 1], [2**32 - 1], [5, 6, VOCABULARY]],
    # T65
    "sampling__repetition_penalty": [NAN, INF, -INF, 0.0, -1.0, 10.1],
    "sampling__presence_penalty": [NAN, INF, -INF, -2.1, 2.1],
    "sampling__frequency_penalty": [NAN, INF, -INF, -2.1, 2.1],
    "sampling__beams": [0, 33, 2**32 - 1],
    "sampling__length_penalty": [NAN, INF, -INF, -5.1, 5.1, 1.0],
}
CASES = [
    pytest.param(path, value, id=f"{path.rpartition('__')[2]}={str(value)[:24]}")
    for path, values in NUMBERS.items()
    for value in values
]


@pytest.mark.parametrize("name", ["Generate", "StreamGenerate"])
def test_wrong_numbers(channel, name, record_testsuite_property):
    """INVALID_FIELD, the field named, and nothing of the prompt said; at once."""
    slowest = 0.0
    for case in CASES:
        path, value = case.values
        data = request(**{path: value}).SerializeToString()
        began = time.monotonic()
        found = refusal(channel, threats.method(name), data, secrets=[SECRET])
        slowest = max(slowest, time.monotonic() - began)
        assert found.label == "INVALID_ARGUMENT/INVALID_FIELD", case.id
        named = path.replace("__", ".")
        assert all(field.startswith(named) for field in found.fields), (case.id, found.fields)
        assert found.fields, case.id
    record_testsuite_property(f"slowest_refusal_ms_{name}", round(slowest * 1000, 1))


def test_wrong_numbers_on_a_stream(channel):
    """On Converse, the same: the field is named within `start`."""
    for case in CASES[::5]:
        path, value = case.values
        message = pb.ConverseRequest(generation_id="g", start=request(**{path: value}))
        found = refused_start(channel, message)
        assert found.label == "INVALID_ARGUMENT/INVALID_FIELD", case.id
        assert path.replace("__", ".") in found.fields[0], case.id


def refused_start(channel, message):
    """How a start was refused: as a call by the rules, as an event by what only the model knows."""
    call = threats.start(channel, threats.method("Converse"), message.SerializeToString())
    try:
        for event in map(pb.GenerateEvent.FromString, call):
            assert event.WhichOneof("event") == "failed"
            return threats.from_status(event.failed, [SECRET])
    except Exception as error:
        return threats.taken_apart(error, [SECRET])


@pytest.mark.parametrize(
    "field", ["logprobs", "max_tokens", "n", "stop_token_ids", "ids", "logit_bias"]
)
def test_negative_numbers_where_none_can_be(channel, field):
    """T56, T59: Python's client refuses them; on the wire, -1 is 2^32 - 1, and refused here."""
    part = {"logprobs": pb.GenerateRequest().output, "ids": pb.GenerateRequest().tokens}
    sampling, stopping = pb.GenerateRequest().sampling, pb.GenerateRequest().stopping
    part |= {"n": sampling, "logit_bias": sampling, "max_tokens": stopping}
    part |= {"stop_token_ids": stopping}
    descriptor = part[field].DESCRIPTOR.fields_by_name[field]
    minus_one = b"\xff" * 9 + b"\x01"
    inner = bytes([descriptor.number << 3]) + minus_one
    if field == "logit_bias":
        entry = b"\x08" + minus_one + b"\x15" + struct.pack("<f", 1.0)
        inner = bytes([descriptor.number << 3 | 2, len(entry)]) + entry
    above = next(
        f for f in pb.GenerateRequest.DESCRIPTOR.fields if f.message_type is part[field].DESCRIPTOR
    )
    data = request().SerializeToString() + bytes([above.number << 3 | 2, len(inner)]) + inner
    found = refusal(channel, GENERATE, data, secrets=[SECRET])
    expected = {"max_tokens": "CONTEXT_LENGTH_EXCEEDED"}.get(field, "INVALID_FIELD")
    assert found.label == f"INVALID_ARGUMENT/{expected}"


@pytest.mark.parametrize(
    "parameters",
    [
        {"temperature": 1e-45},
        {"temperature": 1e-5},
        {"temperature": 10.0},
        {"temperature": 1.0, "top_p": 1e-45},
        {"temperature": 1.0, "min_p": 1.0},
        {"temperature": 1.0, "min_p": 0.0},
        {"temperature": 1.0, "top_k": 0},
        {"temperature": 1.0, "top_k": VOCABULARY + 1},
        {"temperature": 1.0, "top_k": 2**31 - 1},
        {"temperature": 10.0, "repetition_penalty": 1e-45, "logit_bias": {5: 100.0}},
        {"presence_penalty": -2.0, "frequency_penalty": 2.0, "repetition_penalty": 10.0},
        {"seed": 0},
        {"seed": 2**64 - 1},
        {"n": 64},
        {"logprobs": 20},
        {"min_tokens": 3, "stop": ["e", "t", "a"]},
    ],
    ids=str,
)
def test_the_edges_are_served(client, parameters):
    """What is just allowed answers, and its log-probabilities are numbers."""
    options = {"max_tokens": 3, "logprobs": 1, "temperature": 1.0} | parameters
    answer = client.generate("smollm2", SECRET, **options)
    assert len(answer.choices) == parameters.get("n", 1)
    for choice in answer.choices:
        assert choice.tokens
        assert all(-1000 < token.logprob <= 0 for token in choice.tokens)


def test_what_is_clamped_is_shown(client):
    """T51, T53: tiny temperatures are greedy, top_k ends at the vocabulary; the answer says so."""
    answer = client.generate("smollm2", SECRET, max_tokens=1, temperature=1e-5, top_k=2**31 - 1)
    assert (answer.parameters.temperature, answer.parameters.top_k) == (0.0, VOCABULARY)


@pytest.mark.parametrize("seed", [0, 2**64 - 1])
def test_seeds(client, seed):
    """T63: the same seed draws the same tokens, and comes back."""
    options = {"temperature": 1.5, "seed": seed, "max_tokens": 8}
    one, two = (client.generate("smollm2", SECRET, **options) for _ in range(2))
    assert one.choices == two.choices
    assert one.parameters.seed == seed


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"prompt": ""}, "text.text"),
        ({"tokens": []}, "tokens.ids"),
        ({"messages": []}, "chat.messages"),
        ({"messages": [{"role": "user", "content": ""}]}, "chat.messages[0]"),
    ],
    ids=["text", "tokens", "messages", "content"],
)
def test_nothing_to_go_on(client, options, field):
    """T60: an empty prompt is refused by the name of its field."""
    with pytest.raises(InvalidFieldError) as error:
        client.generate("smollm2", **options)
    assert field in {violation.field for violation in error.value.violations}


@pytest.mark.parametrize(
    "options",
    [
        {"prompt": SECRET, "max_tokens": CONTEXT},
        {"prompt": SECRET, "max_tokens": 2**32 - 1},
        {"tokens": [5] * 2, "max_tokens": CONTEXT - 1},
        {"tokens": [5] * CONTEXT},
        {"tokens": [5] * 1_000_000},
        {"prompt": "a b " * CONTEXT},
        {"messages": [{"role": "user", "content": "a b " * 500_000}]},
    ],
    ids=["answer", "2^32 - 1", "one too many", "full", "10^6 ids", "text", "chat of 2 MB"],
)
def test_more_than_the_context(client, options):
    """T55, T61: CONTEXT_LENGTH_EXCEEDED says both numbers; nothing is cut off in silence."""
    with pytest.raises(LlmosError) as error:
        client.generate("smollm2", **options)
    assert error.value.label == "INVALID_ARGUMENT/CONTEXT_LENGTH_EXCEEDED"
    assert int(error.value.metadata["actual"]) > int(error.value.metadata["limit"]) == CONTEXT
