"""Peers that are frozen, not dead (F19): their connection is open, and nothing comes of it.

Only a ping that stays without an answer shows it: after 10 s of silence, for 5 s.
"""

import signal
import subprocess
import sys
import threading
import time

from daemon import wait_for
from llmos_client import Client, DaemonUnreachable, transport

FOUND = 10 + 5 + 2  # seconds
CLIENT = """
import sys
from llmos_client import Client
with Client(sys.argv[1]) as client:
    with client.stream("smollm2", "On and on", max_tokens=6000, ignore_eos=True) as events:
        for event in events:
            print("event", flush=True)
"""


def test_a_frozen_client(daemon, client):
    """Its generation ends and its blocks are free; that of one who is awake goes on."""
    frozen, awake = (
        subprocess.Popen([sys.executable, "-c", CLIENT, daemon.address], stdout=subprocess.PIPE)
        for _ in range(2)
    )
    reading = threading.Thread(target=awake.stdout.read)
    with frozen, awake:
        try:
            assert frozen.stdout.readline() == awake.stdout.readline() == b"event\n"
            reading.start()
            assert client.server_info().generations == 2
            frozen.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            wait_for(lambda: client.server_info().generations == 1, FOUND)
            print(f"found after {time.monotonic() - began:.1f} s")
            assert awake.poll() is None
        finally:
            frozen.kill()
            awake.kill()
            reading.join()
    wait_for(lambda: client.server_info().generations == 0, 5)


def test_a_frozen_daemon(new_daemon, monkeypatch):
    """The call ends; the same one of a channel without the third setting waits on."""
    daemon = new_daemon()
    with daemon.client() as client:
        monkeypatch.setattr(
            transport,
            "OPTIONS",
            tuple(each for each in transport.OPTIONS if each[0] != "grpc.http2.ping_timeout_ms"),
        )
        with Client(daemon.address) as deaf:
            ends = {client: None, deaf: None}
            threads = [threading.Thread(target=ask, args=(each, ends)) for each in ends]
            for each in ends:
                each.server_info()
            daemon.process.send_signal(signal.SIGSTOP)
            try:
                for thread in threads:
                    thread.start()
                threads[0].join(FOUND)
                assert isinstance(ends[client], DaemonUnreachable)
                assert ends[deaf] is None
            finally:
                daemon.process.send_signal(signal.SIGCONT)
            threads[1].join()
            assert ends[deaf] == "answered"


def ask(client, ends):
    try:
        client.server_info()
        ends[client] = "answered"
    except DaemonUnreachable as error:
        ends[client] = error
