"""An engine process: `python -m llmosd.engine FD`, FD being its end of the socket pair.

One thread computes; one reads frames. The heartbeat comes from the computing loop, so a frozen
computation falls silent and the front ends it.
"""

import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from socket import socket

from llmosd.errors import LlmosError
from llmosd.ipc import Channel, ChannelClosed, Failure, die_with_parent
from llmosd.ipc.messages import (
    Cancel,
    Heartbeat,
    LoadEngine,
    Loading,
    Rejected,
    Shutdown,
    Submit,
    ToEngine,
)


def main() -> int:
    """Load, say Ready, step until told to stop; 1 when loading or a step failed."""
    die_with_parent()
    channel = Channel(socket(fileno=int(sys.argv[1])), ToEngine)
    try:
        order = channel.receive()
        assert isinstance(order, LoadEngine)
        _serve(channel, order)
    except ChannelClosed:
        return 0
    except Exception as error:  # noqa: BLE001 - the process's last word, whatever went wrong
        traceback.print_exc()
        channel.send(Failure.of(error))
        return 1
    return 0


def _serve(channel: Channel, order: LoadEngine) -> None:
    from llmosd.engine.loader import load  # noqa: PLC0415 - torch comes after the first frame

    engine, ready = load(order, _reporter(channel, order.heartbeat_seconds))
    inbox: queue.SimpleQueue[ToEngine] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(channel, inbox), daemon=True).start()
    channel.send(ready)
    while True:
        try:
            # An idle engine sleeps until a frame or the next heartbeat; a busy one only looks.
            wait = 0.0 if engine.has_work else order.heartbeat_seconds
            while True:
                message = inbox.get(timeout=wait) if wait else inbox.get_nowait()
                wait = 0.0
                if isinstance(message, Shutdown):
                    return
                if isinstance(message, Cancel):
                    engine.cancel(message.id, message.choice)
                elif isinstance(message, Submit):
                    try:
                        engine.submit(message)
                    except LlmosError as error:
                        channel.send(Rejected(message.id, Failure.of(error)))
        except queue.Empty:
            pass
        channel.send(engine.step() if engine.has_work else Heartbeat(engine.stats))


def _read(channel: Channel, inbox: "queue.SimpleQueue[ToEngine]") -> None:
    """Move frames into the inbox; the front's end ends this process."""
    try:
        while True:
            inbox.put(channel.receive())
    except ChannelClosed:
        inbox.put(Shutdown())


def _reporter(channel: Channel, interval: float) -> Callable[[str, int, int], None]:
    """A report function that sends at most one frame per interval and stage."""
    last = ("", 0.0)

    def report(stage: str, completed: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if stage != last[0] or now - last[1] > interval / 4:
            last = (stage, now)
            channel.send(Loading(stage, completed, total))

    return report


if __name__ == "__main__":
    # Exit without the interpreter's teardown: OpenMP's threads may still spin.
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
