"""The front's view of one engine process: generations in, tokens out, a watch on its heartbeat."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from typing import Any

import structlog

from llmosd import device
from llmosd.errors import EngineLost, LlmosError, ModelLoadFailed
from llmosd.ipc import ChannelClosed, Child, Failure
from llmosd.ipc.messages import (
    Cancel,
    EngineLoad,
    EngineStats,
    Heartbeat,
    LoadEngine,
    Loading,
    Ready,
    Rejected,
    Scored,
    SetWeights,
    Shutdown,
    Started,
    StepResult,
    Submit,
    TokenOut,
)
from llmosd.supervisor.admission import Admission

_log = structlog.get_logger()
_STOP_SECONDS = 5.0
_LOOKS = 4  # per heartbeat timeout
_PATIENCE = 6  # heartbeat timeouts of a process that computes
_BUSY = 0.05  # of one processor
# Why an engine refuses a request by its own fault, not the request's or the moment's.
_FAULTS = frozenset({"INTERNAL", "DATA_CORRUPT"})


class Listener:
    """Who hears what becomes of a generation. Called on the event loop; must not block.

    What a listener did not ask for it need not listen to.
    """

    def on_started(self, started: Started) -> None:
        """The prompt began to run."""

    def on_token(self, token: TokenOut) -> None:
        """An answer grew."""

    def on_scored(self, scored: Scored) -> None:
        """Tokens of a prompt were scored."""

    def on_failed(self, error: LlmosError) -> None:
        """The generation is over; nothing more comes."""


class EngineHandle:
    """A loaded engine. `on_lost` is called once when the process ended without being asked."""

    def __init__(
        self, child: Child, ready: Ready, order: LoadEngine, limits: "HandleLimits"
    ) -> None:
        """Use `start`."""
        self.ready = ready
        self.order = order
        self.stats = EngineStats(0, 0, 0, 0, 0, 0, 0, 0, 0)
        self.load = EngineLoad([0] * 3, [0] * 3, [], 0.0, 0.0, 0.0, 0.0, 0, 0)
        self.ended = self.faults = 0  # requests, and those that failed by the engine's fault
        self.on_lost: Callable[[], None] = lambda: None
        self._child = child
        self._limits = limits
        self._ids = itertools.count(1)
        self._admission = Admission(limits.max_generations, order.tenant_weights)
        self._listeners: dict[int, Listener] = {}
        self._open: dict[int, set[int]] = {}  # answers still running, by generation
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False
        self._reason = "ended"
        self._heard = asyncio.get_running_loop().time()
        self._pump = asyncio.create_task(self._run())

    @classmethod
    async def start(
        cls,
        child: Child,
        order: LoadEngine,
        limits: "HandleLimits",
        report: Callable[[Loading], None],
    ) -> "EngineHandle":
        """Send the order and wait until the model is loaded and warm.

        Raises:
            LlmosError: what the engine says went wrong; ModelLoadFailed when it says nothing.
        """
        child.channel.send(order)
        try:
            while True:
                async with asyncio.timeout(limits.load_timeout):
                    message = await child.channel.receive()
                if isinstance(message, Ready):
                    return cls(child, message, order, limits)
                if isinstance(message, Failure):
                    raise message.error()  # noqa: TRY301 - ends like any other failure here
                if isinstance(message, Loading):
                    report(message)
        except BaseException as error:
            child.kill()
            code = await child.ended()
            if isinstance(error, ChannelClosed):
                raise ModelLoadFailed(f"the model's process ended with status {code}") from None
            if isinstance(error, TimeoutError):
                seconds = f"{limits.load_timeout:g} s"
                raise ModelLoadFailed(f"the model's process was silent for {seconds}") from None
            raise

    @property
    def pid(self) -> int:
        """Process id."""
        return self._child.pid

    @property
    def num_generations(self) -> int:
        """Generations running or waiting."""
        return len(self._listeners)

    def submit(self, listener: Listener, request: Any) -> int:
        """Hand a generation to the engine; `request(id)` makes the Submit frame.

        Raises:
            QueueFull: as many run and wait as may, and no other tenant has more of them.
            EngineLost: the process is gone.
        """
        if self._stopping or self._pump.done():
            raise EngineLost("the model's process is gone; try again", retry_after=1.0)
        identifier = next(self._ids)
        submit: Submit = request(identifier)
        loser = self._admission.enter(identifier, submit.tenant, submit.priority)
        if loser is not None:
            put_out = self._listeners[loser]
            self.cancel(loser)
            put_out.on_failed(self._admission.full())
        self._listeners[identifier] = listener
        self._open[identifier] = set(range(submit.num_choices))
        self._idle.clear()
        self._child.channel.send(submit)
        return identifier

    def cancel(self, identifier: int, choice: int = -1) -> None:
        """End a generation, or one answer of it; the listener hears no more of it."""
        if identifier not in self._listeners:
            return
        self._child.channel.send(Cancel(identifier, choice))
        self._close(identifier, choice)

    def set_weights(self, weights: dict[str, float]) -> None:
        """Share the engine by these from now on; see config.Config.tenant_weights."""
        self._admission.set_weights(weights)
        self._child.channel.send(SetWeights(weights))

    async def wait_idle(self, seconds: float) -> None:
        """Return when no generation runs, or after `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()

    async def stop(self) -> None:
        """End the process and wait until its memory is back."""
        self._stopping = True
        self._child.channel.send(Shutdown())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await asyncio.shield(self._pump)
        self._child.kill()
        await self._pump
        self._fail_all(EngineLost("the model was unloaded"))

    async def _run(self) -> None:
        """Take frames until the process ends or falls silent."""
        loop = asyncio.get_running_loop()
        watch = asyncio.create_task(self._watch(loop))
        with contextlib.suppress(ChannelClosed):
            while True:
                message = await self._child.channel.receive()
                self._heard = loop.time()
                self._take(message)
        watch.cancel()
        self._child.kill()
        code = await self._child.ended()
        if not self._stopping:
            _log.error("engine_lost", engine=self._child.name, reason=self._reason, status=code)
            self.ended += len(self._listeners)
            self.faults += len(self._listeners)
            self._fail_all(EngineLost("the model's process was lost; try again", retry_after=1.0))
            self.on_lost()

    async def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """End a process that has been silent for too long; one that computes may take longer.

        A large step on a busy machine may take longer than a heartbeat; killing what computes
        would only make it compute the same again.
        """
        limit = self._limits.heartbeat_timeout
        seen, used = loop.time(), device.cpu_seconds(self._child.pid)
        while True:
            await asyncio.sleep(limit / _LOOKS)
            now, now_used = loop.time(), device.cpu_seconds(self._child.pid)
            computes = now_used - used > _BUSY * (now - seen)
            if now - seen > limit / 2:  # this process was held up itself, and has not listened
                self._heard = now
            seen, used = now, now_used
            silent = now - self._heard
            if silent > limit * (_PATIENCE if computes else 1):
                self._reason = "silent"
                self._child.kill()
                return

    def _take(self, message: object) -> None:
        if isinstance(message, StepResult):
            self._take_step(message)
        elif isinstance(message, Heartbeat):
            self.stats = message.stats
            self.load = message.load or self.load
        elif isinstance(message, Rejected):
            listener = self._listeners.get(message.id)
            if listener is not None:
                self.faults += message.failure.reason in _FAULTS
                self._close(message.id)
                listener.on_failed(message.failure.error())

    def _take_step(self, step: StepResult) -> None:
        """Tell everybody what a step did for them; those who left hear nothing."""
        self.stats = step.stats
        self.load = step.load or self.load
        for started in step.started:
            if started.id in self._listeners:
                self._admission.begin(started.id)
                self._listeners[started.id].on_started(started)
        for token in step.tokens:
            listener = self._listeners.get(token.id)
            if listener is not None:
                if token.finish:
                    self._close(token.id, token.choice)
                listener.on_token(token)
        for scored in step.scored:
            listener = self._listeners.get(scored.id)
            if listener is not None:
                if scored.done:
                    self._close(scored.id)
                listener.on_scored(scored)

    def _close(self, identifier: int, choice: int = -1) -> None:
        """Count one answer, or all, as ended; forget the generation with its last one."""
        self._open[identifier].discard(choice)
        if choice < 0 or not self._open[identifier]:
            self.ended += 1
            del self._open[identifier], self._listeners[identifier]
            self._admission.leave(identifier)
            if not self._listeners:
                self._idle.set()

    def _fail_all(self, error: LlmosError) -> None:
        listeners, self._listeners = self._listeners, {}
        self._open.clear()
        self._idle.set()
        for listener in listeners.values():
            listener.on_failed(error)


class HandleLimits:
    """What one engine may take, and how long it may be silent, in seconds."""

    def __init__(
        self, *, max_generations: int, heartbeat_timeout: float, load_timeout: float
    ) -> None:
        self.max_generations = max_generations
        self.heartbeat_timeout = heartbeat_timeout
        self.load_timeout = load_timeout
