"""Attacks below gRPC, beside an honest client: floods of frames, silence, slowness (T10 to T17)."""

import asyncio
import itertools
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest

import threats
from daemon import DaemonProcess, wait_for
from factory import tiny_llama_folder
from honest import Honest
from llmos.v1 import model_service_pb2
from llmos_client import AsyncClient
from llmosd.rpc.limits import MAX_STREAMS
from threats import forget_peak, memory

MIB = 1 << 20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 4, 6, 7, 8, 9
STALL = 1.0


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    process = DaemonProcess(
        tmp_path_factory.mktemp("floods"),
        max_connections=40,
        connection_idle_seconds=1.0,
        stall_timeout_seconds=STALL,
    )
    process.install(
        "tiny",
        tiny_llama_folder(tmp_path_factory.mktemp("tiny"), max_position_embeddings=1 << 20),
    )
    process.load("tiny")
    yield process
    process.stop()


@pytest.fixture
def honest(daemon, request):
    """No call of another client fails during an attack; after it nothing runs."""
    with Honest(daemon.address, threats.method("GetServerInfo").path) as honest:
        yield
    print(f"{request.node.name}: {honest.codes}, 99 % within {honest.p99_ms} ms")
    assert set(honest.codes) == {"OK"}
    with daemon.client() as client:
        wait_for(lambda: client.health() == "serving", 10)
        wait_for(lambda: client.server_info().generations == 0, 10, daemon.log.read_text)


def frame(kind, payload=b"", flags=0, stream=0):
    return (
        struct.pack(">I", len(payload))[1:]
        + bytes([kind, flags])
        + struct.pack(">I", stream)
        + payload
    )


def connect(daemon):
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(20)
    peer.connect(daemon.address.removeprefix("unix:"))
    return peer


def attack(daemon, frames):
    """Send until the daemon ends the connection or all is sent; what it sent, and whether it ended."""
    heard, ended = b"", False
    with connect(daemon) as peer:
        try:
            peer.sendall(PREFACE + frame(SETTINGS))
            for data in frames:
                peer.sendall(data)
                heard += _waiting(peer)
            peer.shutdown(socket.SHUT_WR)
            while data := peer.recv(1 << 16):
                heard += data
        except (BrokenPipeError, ConnectionResetError):
            ended = True
    return heard, ended


def _waiting(peer):
    try:
        return peer.recv(1 << 16, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return b""


def goaways(heard):
    """Error codes of the GOAWAY frames in what the daemon sent."""
    codes = []
    while len(heard) >= 9:
        length = int.from_bytes(heard[:3], "big")
        if heard[3] == GOAWAY:
            codes.append(struct.unpack(">I", heard[13:17])[0])
        heard = heard[9 + length :]
    return codes


@pytest.mark.usefixtures("honest")
def test_continuation_flood(daemon):
    """T10: headers that never end: the connection is ended long before 64 MB, and little is kept."""
    forget_peak(daemon.process.pid)
    before = memory(daemon.process.pid)
    one = frame(CONTINUATION, b"\x00\x01a\x01b" * 3000, stream=1)
    sent = itertools.count()
    head = frame(HEADERS, b"\x82", stream=1)
    floods = (one for _ in range(64 * MIB // len(one)) if next(sent) >= 0)
    _, ended = attack(daemon, itertools.chain([head], floods))
    assert ended
    assert next(sent) * len(one) < 16 * MIB
    assert memory(daemon.process.pid, "VmHWM") - before <= 10 * MIB


@pytest.mark.usefixtures("honest")
def test_ping_flood(daemon):
    """T11: GOAWAY, ENHANCE_YOUR_CALM."""
    heard, ended = attack(daemon, (frame(PING, bytes(8)) * 100 for _ in range(200)))
    assert 11 in goaways(heard) or ended
    heard, _ = attack(daemon, [frame(PING, bytes(8))])  # the control: one is answered
    assert goaways(heard) == []


@pytest.mark.usefixtures("honest")
@pytest.mark.parametrize("kind", ["settings", "window", "closed stream"])
def test_other_frames(daemon, kind):
    """T12: borne or ended, at little cost."""
    frames = {
        "settings": (frame(SETTINGS, struct.pack(">HI", 4, 65535)) * 100 for _ in range(100)),
        "window": [frame(WINDOW_UPDATE, struct.pack(">I", 0x7FFFFFFF)) * 100],
        "closed stream": [frame(DATA, b"x" * 100, stream=7) * 100],
    }[kind]
    forget_peak(daemon.process.pid)
    before = memory(daemon.process.pid)
    attack(daemon, frames)
    assert memory(daemon.process.pid, "VmHWM") - before <= 10 * MIB


@pytest.mark.usefixtures("honest")
@pytest.mark.parametrize("data", [os.urandom(4096), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_what_is_no_http2(daemon, data):
    """T13: closed."""
    with connect(daemon) as peer:
        peer.sendall(data)
        try:
            while peer.recv(1 << 16):
                pass
        except ConnectionResetError:
            pass


@pytest.mark.usefixtures("honest")
def test_silent_connections(daemon):
    """T14: more of them than may be; they are dropped, and an honest newcomer is served."""
    silent = []
    for _ in range(60):
        try:
            silent.append(connect(daemon))
            silent[-1].sendall(PREFACE + frame(SETTINGS))
        except OSError:
            pass
    with daemon.client() as client:
        assert not _serving(client)  # the control: without the idle time it would stay so
        wait_for(lambda: _serving(client), 15)
    for peer in silent:
        peer.close()


def _serving(client):
    try:
        return client.health() == "serving"
    except Exception:
        return False


@pytest.mark.usefixtures("honest")
def test_more_streams_than_may_be(daemon):
    """T15: as many as may be are open, the rest wait in their client; all end with it."""
    asyncio.run(open_streams(daemon, 10_000))


async def open_streams(daemon, number):
    forget_peak(daemon.process.pid)
    before = memory(daemon.process.pid)
    async with grpc.aio.insecure_channel(daemon.address, options=threats.OPTIONS) as channel:
        converse = channel.stream_stream(threats.method("Converse").path)
        calls = [converse() for _ in range(number)]
        await asyncio.sleep(2)
        async with AsyncClient(daemon.address) as client:
            began = time.monotonic()
            assert await client.health() == "serving"
            print(f"beside {number} streams an honest call took {time.monotonic() - began:.3f} s")
        assert memory(daemon.process.pid, "VmHWM") - before <= 50 * MIB
        # Open are at most a hundred at a time, each until it has stood still for too long.
        ended = sum(call.done() for call in calls)
        assert ended <= MAX_STREAMS * 2 / STALL
        for call in calls:
            call.cancel()


def slow_upload(gap, size=1):
    """The header of a model, then a byte now and then."""
    header = model_service_pb2.UploadModelHeader(
        model_id="slow", format=model_service_pb2.MODEL_FORMAT_GGUF
    )
    header.files.add(name="a.gguf", byte_size=1 << 20, digest=f"sha256:{0:064x}")
    yield model_service_pb2.UploadModelRequest(header=header).SerializeToString()
    while True:
        time.sleep(gap)
        chunk = model_service_pb2.UploadModelChunk(file=0, data=bytes(size))
        yield model_service_pb2.UploadModelRequest(chunk=chunk).SerializeToString()


@pytest.mark.usefixtures("honest")
@pytest.mark.parametrize("gap", [0.2, 60])
def test_slow_senders(daemon, gap):
    """T16: a byte now and then, or nothing more: ended, and nothing of it is kept."""
    with threats.raw(daemon) as channel:
        call = channel.stream_unary(threats.method("UploadModel").path)
        with pytest.raises(grpc.RpcError) as caught:
            call(slow_upload(gap), timeout=20)
    refusal = threats.taken_apart(caught.value)
    assert refusal.label == "DEADLINE_EXCEEDED/STREAM_STALLED"
    assert not list((daemon.folder / "state/models/.staging").iterdir())


@pytest.mark.usefixtures("honest")
def test_a_sender_that_is_only_slow(daemon):
    """The control: a few kilobytes a second go on past the time, to their end."""
    with threats.raw(daemon) as channel:
        call = channel.stream_unary(threats.method("UploadModel").path)
        began = time.monotonic()
        with pytest.raises(grpc.RpcError) as caught:
            call(itertools.islice(slow_upload(0.3, 2000), 12), timeout=20)
    assert time.monotonic() - began > 2 * STALL
    assert threats.taken_apart(caught.value).reason == "DATA_CORRUPT"  # too few bytes in the end


@pytest.mark.usefixtures("honest")
def test_a_reader_that_stops(daemon):
    """T17: its buffers fill, its stream is ended, its place is free; another one's goes on."""
    code = (
        "import sys, grpc, threats\n"
        "from llmos.v1 import generation_service_pb2 as pb\n"
        "request = pb.GenerateRequest(model='tiny', tokens=pb.TokenInput(ids=[1]))\n"
        "request.stopping.max_tokens = 1_000_000\n"
        "request.stopping.ignore_eos = True\n"
        "request.output.logprobs = 20\n"
        "with threats.raw(type('D', (), {'address': sys.argv[1]})) as channel:\n"
        "    call = channel.unary_stream('/llmos.v1.GenerationService/StreamGenerate')\n"
        "    events = call(request.SerializeToString())\n"
        "    next(events); print('began', flush=True)\n"
        "    try:\n"
        "        list(events)\n"
        "    except grpc.RpcError as error:\n"
        "        print(threats.taken_apart(error).label)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", code, daemon.address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as reader:
        assert reader.stdout.readline() == b"began\n"
        reader.send_signal(signal.SIGSTOP)
        with daemon.client() as client:
            wait_for(lambda: stalled(daemon), 30, daemon.log.read_text)
            wait_for(lambda: client.server_info().generations == 0, 5)
            assert client.generate("tiny", tokens=[1], max_tokens=5).choices
        reader.send_signal(signal.SIGCONT)
        assert reader.stdout.read() == b"DEADLINE_EXCEEDED/STREAM_STALLED\n"


def stalled(daemon):
    lines = [line for line in daemon.log_lines() if line.get("reason") == "STREAM_STALLED"]
    return [line for line in lines if line["method"].endswith("StreamGenerate")]
