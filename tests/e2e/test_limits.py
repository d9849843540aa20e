"""Too much of everything, and calls of what is not there (T04 to T07)."""

import grpc
import pytest

import threats
from threats import code_of, forget_peak, memory, raw

MIB = 1024 * 1024
LIMIT = 4 * MIB
INFO = threats.method("GetServerInfo")

pytestmark = pytest.mark.usefixtures("unharmed")


@pytest.fixture(scope="module")
def channel(daemon):
    with raw(daemon) as channel:
        yield channel


@pytest.mark.parametrize("name", ["Tokenize", "Generate", "UploadModel", "Converse"])
def test_a_message_over_the_limit(daemon, channel, name):
    """T04: 5 MB at once: RESOURCE_EXHAUSTED, and the daemon never held twice the limit."""
    method = threats.method(name)
    forget_peak(daemon.process.pid)
    before = memory(daemon.process.pid)
    for _ in range(3):
        code = code_of(channel, method, b"\x12" + _varint(5 * MIB) + bytes(5 * MIB))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert memory(daemon.process.pid, "VmHWM") - before <= 2 * LIMIT


def test_a_gzip_bomb(daemon, channel):
    """T05: 100 MB in 100 kB: RESOURCE_EXHAUSTED, and the daemon held little of it."""
    data = b"\x12" + _varint(100 * MIB) + bytes(100 * MIB)
    forget_peak(daemon.process.pid)
    before = memory(daemon.process.pid)
    found = code_of(
        channel, threats.method("Tokenize"), data, compression=grpc.Compression.Gzip, timeout=60
    )
    assert found is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert memory(daemon.process.pid, "VmHWM") - before <= 10 * MIB


def _varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


@pytest.mark.parametrize(
    ("metadata", "codes"),
    [
        # Between the soft limit of 8 kB and the hard one of 16 kB gRPC refuses by chance.
        ([("x-a", "a" * 9000)], {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}),
        ([("x-a", "a" * 20_000)], {grpc.StatusCode.RESOURCE_EXHAUSTED}),
        ([(f"x-{n}", "a") for n in range(10_000)], {grpc.StatusCode.RESOURCE_EXHAUSTED}),
        ([("x-request-id", "a" * 7000)], {grpc.StatusCode.OK}),
        ([("x-request-id", 'a "b\\')], {grpc.StatusCode.OK}),
        ([("x-b-bin", bytes(range(256)))], {grpc.StatusCode.OK}),
    ],
    ids=["9 kB", "20 kB", "10,000 keys", "long id", "odd id", "binary"],
)
def test_metadata(channel, metadata, codes):
    """T06: what is too long is refused, what is odd is ignored."""
    assert code_of(channel, INFO, b"", metadata=metadata) in codes


@pytest.mark.parametrize(
    "path",
    ["/llmos.v1.GenerationService/Evil", "/llmos.v9.GenerationService/Generate", "/a/b", "/", "/a"],
)
def test_unknown_methods(channel, path):
    """T07: UNIMPLEMENTED."""
    method = threats.Method(path, None, False, False)
    assert code_of(channel, method, b"") is grpc.StatusCode.UNIMPLEMENTED
