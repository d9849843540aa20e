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
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Any

from llmosd.engine.grammar import GrammarCompiler, Matcher
from llmosd.errors import LlmosError
from llmosd.ipc import Channel, ChannelClosed, Failure, die_with_parent
from llmosd.ipc.messages import (
    AdapterLoaded,
    Cancel,
    DropAdapter,
    LoadAdapter,
    LoadEngine,
    Loading,
    Rejected,
    SetWeights,
    Shutdown,
    Submit,
    ToEngine,
)
from llmosd.ipc.turns import Turns

if TYPE_CHECKING:
    from llmosd.engine.engine import Engine
    from llmosd.engine.loader import Load

# Of the time of a step, in which an adapter is read after it.
_READ_SHARE = 0.1
# Frames, and grammars that were compiled: generation, and what came of it.
Inbox = queue.SimpleQueue[ToEngine | tuple[int, Matcher | LlmosError]]


def main() -> int:
    """Load, say Ready, step until told to stop; 1 when loading or a step failed."""
    die_with_parent()
    channel = Channel(socket(fileno=int(sys.argv[1])), ToEngine)
    try:
        # Before the order has come: a spare engine waits with torch and numba imported.
        from llmosd.engine.choices import preload  # noqa: PLC0415 - a failure is reported, too
        from llmosd.engine.loader import load  # noqa: PLC0415

        preload()
        order = channel.receive()
        assert isinstance(order, LoadEngine)
        _serve(channel, order, load)
    except ChannelClosed:
        return 0
    except Exception as error:  # noqa: BLE001 - the process's last word, whatever went wrong
        traceback.print_exc()
        channel.send(Failure.of(error))
        return 1
    return 0


def _serve(channel: Channel, order: LoadEngine, load: "Load") -> None:
    engine, ready = load(order, _reporter(channel, order.heartbeat_seconds))
    inbox: Inbox = queue.SimpleQueue()
    compiler = GrammarCompiler(
        Path(order.model_dir), ready.vocab_size, lambda *outcome: inbox.put(outcome)
    )
    threading.Thread(target=_read, args=(channel, inbox), daemon=True).start()
    channel.send(ready)
    desk = _Desk(channel, engine, compiler)
    turns = Turns(Path(order.turns)) if order.turns else None
    while not desk.closed:
        try:
            # An idle engine sleeps until a frame or the next heartbeat; a busy one only looks.
            busy = engine.has_work or desk.reads
            wait = 0.0 if busy else order.heartbeat_seconds
            while not desk.closed:
                desk.take(inbox.get(timeout=wait) if wait else inbox.get_nowait())
                wait = 0.0
        except queue.Empty:
            if turns is not None and engine.has_work:
                turns.wait()
            began = time.monotonic()
            channel.send(engine.step() if engine.has_work else engine.heartbeat())
            desk.refuse_failed()
            desk.read_on(_READ_SHARE * (time.monotonic() - began))


class _Desk:
    """Takes what comes in between two steps."""

    def __init__(self, channel: Channel, engine: "Engine", compiler: GrammarCompiler) -> None:
        self.closed = False
        self._channel = channel
        self._engine = engine
        self._compiler = compiler
        self._compiling: dict[int, Submit] = {}
        self._arriving: deque[tuple[int, Iterator[Any], list[Any]]] = deque()

    @property
    def reads(self) -> bool:
        """Whether an adapter is being read."""
        return bool(self._arriving)

    def read_on(self, seconds: float) -> None:
        """Read layers of the adapters that come next for so long, one at least: between steps."""
        ends = time.monotonic() + seconds
        while self._arriving:
            self._read_layer()
            if time.monotonic() >= ends:
                break

    def _read_layer(self) -> None:
        number, layers, read = self._arriving[0]
        try:
            read.append(next(layers))
        except StopIteration:
            self._engine.set_adapter(number, read)
            self._answer(number, None)
        except Exception as error:  # noqa: BLE001 - the base and other adapters go on
            if not isinstance(error, LlmosError):
                traceback.print_exc()
            self._answer(number, Failure.of(error))

    def _drop(self, number: int) -> None:
        before = len(self._arriving)
        self._arriving = deque(each for each in self._arriving if each[0] != number)
        if len(self._arriving) == before:
            self._engine.set_adapter(number, None)

    def _answer(self, number: int, failure: Failure | None) -> None:
        self._arriving.popleft()
        self._channel.send(AdapterLoaded(number, failure))

    def take(self, message: ToEngine | tuple[int, Matcher | LlmosError]) -> None:
        if isinstance(message, tuple):
            self._compiled(*message)
        elif isinstance(message, Shutdown):
            self.closed = True
        elif isinstance(message, Cancel):
            self._compiling.pop(message.id, None)
            self._engine.cancel(message.id, message.choice)
        elif isinstance(message, SetWeights):
            self._engine.set_weights(message.weights)
        elif isinstance(message, LoadAdapter):
            layers = self._engine.adapter_layers(Path(message.model_dir))
            self._arriving.append((message.number, layers, []))
        elif isinstance(message, DropAdapter):
            self._drop(message.number)
        elif isinstance(message, Submit) and message.constraint is not None:
            self._compiling[message.id] = message
            self._compiler.begin(message, message.constraint)
        elif isinstance(message, Submit):
            self._submit(message, None)

    def refuse_failed(self) -> None:
        for request_id, error in self._engine.refused.items():
            self._refuse(request_id, error)
        self._engine.refused.clear()

    def _compiled(self, request_id: int, outcome: Matcher | LlmosError) -> None:
        request = self._compiling.pop(request_id, None)
        if request is None:  # cancelled meanwhile
            return
        if isinstance(outcome, LlmosError):
            self._refuse(request_id, outcome)
        else:
            self._submit(request, outcome)

    def _submit(self, request: Submit, matcher: Matcher | None) -> None:
        try:
            self._engine.submit(request, matcher)
        except LlmosError as error:
            self._refuse(request.id, error)

    def _refuse(self, request_id: int, error: LlmosError) -> None:
        self._channel.send(Rejected(request_id, Failure.of(error)))


def _read(channel: Channel, inbox: Inbox) -> None:
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
