"""The front's view of one engine process: generations in, tokens out, a watch on its heartbeat."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from llmosd import device
from llmosd.errors import EngineLost, LlmosError, ModelLoadFailed
from llmosd.ipc import ChannelClosed, Child, Failure
from llmosd.ipc.messages import (
    AdapterLoaded,
    Cancel,
    DropAdapter,
    EngineStats,
    Heartbeat,
    LoadAdapter,
    LoadEngine,
    Loading,
    Ready,
    Rejected,
    SetWeights,
    Shutdown,
    StepResult,
    Submit,
)
from llmosd.supervisor.admission import Admission
from llmosd.supervisor.model_handle import Account, Listener, ModelHandle, no_load

_log = structlog.get_logger()
_STOP_SECONDS = 5.0
_LOOKS = 4  # per heartbeat timeout
_PATIENCE = 6  # heartbeat timeouts of a process that computes
_BUSY = 0.05  # of one processor
# Why an engine refuses a request by its own fault, not the request's or the moment's.
_FAULTS = frozenset({"INTERNAL", "DATA_CORRUPT"})


@dataclass(slots=True)
class _Generation:
    """One that is open."""

    listener: Listener
    account: Account
    choices: set[int]  # that still run
    ran: bool = False


class EngineHandle(ModelHandle):
    """A loaded engine. `on_lost` is called once when the process ended without being asked."""

    def __init__(
        self, child: Child, ready: Ready, order: LoadEngine, limits: "HandleLimits"
    ) -> None:
        """Use `start`."""
        self.ready = ready
        self.order = order
        self.account = Account()
        self.load = no_load()
        self._stats = EngineStats(0, 0, 0, 0, 0, 0, 0, 0, 0)
        self.on_lost: Callable[[], None] = lambda: None
        self._child = child
        self._limits = limits
        self._ids = itertools.count(1)
        self._admission = Admission(limits.max_generations, order.tenant_weights)
        self._open: dict[int, _Generation] = {}
        self._adapters = itertools.count(1)
        self._arriving: dict[int, asyncio.Future[None]] = {}  # adapters that are being read
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
    def stats(self) -> EngineStats:
        """What the engine told last."""
        return self._stats

    def submit(self, listener: Listener, request: Any, account: Account | None = None) -> int:
        """See ModelHandle; the generation is counted in `account`, by default the base's own."""
        self._check_there()
        identifier = next(self._ids)
        submit: Submit = request(identifier)
        loser = self._admission.enter(identifier, submit.tenant, submit.priority)
        if loser is not None:
            self._put_out(loser, self._admission.full())
        account = account or self.account
        account.enter()
        self._open[identifier] = _Generation(listener, account, set(range(submit.num_choices)))
        self._child.channel.send(submit)
        return identifier

    def cancel(self, identifier: int, choice: int = -1) -> None:
        """End a generation, or one answer of it; the listener hears no more of it."""
        if identifier not in self._open:
            return
        self._child.channel.send(Cancel(identifier, choice))
        self._close(identifier, choice)

    def set_weights(self, weights: dict[str, float]) -> None:
        """Share the engine by these from now on; see config.Config.tenant_weights."""
        self._admission.set_weights(weights)
        self._child.channel.send(SetWeights(weights))

    async def load_adapter(self, folder: Path) -> int:
        """Have the engine read an adapter; returns the number that Submit.adapter has for it.

        Raises what AdapterHandle.start does.
        """
        self._check_there()
        number = next(self._adapters)
        arriving = asyncio.get_running_loop().create_future()
        self._arriving[number] = arriving
        self._child.channel.send(LoadAdapter(number, str(folder)))
        try:
            async with asyncio.timeout(self._limits.load_timeout):
                await arriving
        except BaseException as error:
            if not isinstance(error, LlmosError):  # cancelled, or late: it may come yet
                self._child.channel.send(DropAdapter(number))
            if isinstance(error, TimeoutError):
                raise ModelLoadFailed("the adapter was not read in time") from None
            raise
        finally:
            self._arriving.pop(number, None)
        return number

    def drop_adapter(self, number: int, account: Account) -> None:
        """Let an adapter go; the requests of its account are told that it was unloaded."""
        for identifier, generation in list(self._open.items()):
            if generation.account is account:
                self._put_out(identifier, EngineLost("the model was unloaded"))
        if not self._pump.done():
            self._child.channel.send(DropAdapter(number))

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
            for generation in self._open.values():
                generation.account.count(faulty=True)
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
            self._stats = message.stats
            self.load = message.load or self.load
        elif isinstance(message, Rejected):
            if message.id in self._open:
                faulty = message.failure.reason in _FAULTS
                self._end(message.id, faulty=faulty).on_failed(message.failure.error())
        elif isinstance(message, AdapterLoaded):
            self._take_adapter(message)

    def _take_adapter(self, message: AdapterLoaded) -> None:
        arriving = self._arriving.get(message.number)
        if arriving is None or arriving.done():
            return
        if message.failure is None:
            arriving.set_result(None)
        else:
            arriving.set_exception(message.failure.error())

    def _take_step(self, step: StepResult) -> None:
        """Tell everybody what a step did for them; those who left hear nothing."""
        self._stats = step.stats
        self.load = step.load or self.load
        for started in step.started:
            generation = self._open.get(started.id)
            if generation is not None:
                self._admission.begin(started.id)
                generation.ran = True
                generation.account.begin()
                generation.listener.on_started(started)
        for token in step.tokens:
            generation = self._open.get(token.id)
            if generation is not None:
                if token.finish:
                    self._close(token.id, token.choice)
                generation.listener.on_token(token)
        for scored in step.scored:
            generation = self._open.get(scored.id)
            if generation is not None:
                if scored.done:
                    self._end(scored.id)
                generation.listener.on_scored(scored)

    def _check_there(self) -> None:
        if self._stopping or self._pump.done():
            raise EngineLost("the model's process is gone; try again", retry_after=1.0)

    def _put_out(self, identifier: int, error: LlmosError) -> None:
        listener = self._open[identifier].listener
        self.cancel(identifier)
        listener.on_failed(error)

    def _close(self, identifier: int, choice: int = -1) -> None:
        """Note that one answer ended, or all; the generation ends with its last one."""
        choices = self._open[identifier].choices
        choices.discard(choice)
        if choice < 0 or not choices:
            self._end(identifier)

    def _end(self, identifier: int, *, faulty: bool = False) -> Listener:
        """Count a generation as ended and forget it; returns who listened."""
        self._open[identifier].account.count(faulty=faulty)
        return self._forget(identifier)

    def _forget(self, identifier: int) -> Listener:
        generation = self._open.pop(identifier)
        self._admission.leave(identifier)
        generation.account.leave(ran=generation.ran)
        return generation.listener

    def _fail_all(self, error: LlmosError) -> None:
        for arriving in self._arriving.values():
            if not arriving.done():
                arriving.set_exception(error)
        for listener in [self._forget(identifier) for identifier in list(self._open)]:
            listener.on_failed(error)


class HandleLimits:
    """What one engine may take, and how long it may be silent, in seconds."""

    def __init__(
        self, *, max_generations: int, heartbeat_timeout: float, load_timeout: float
    ) -> None:
        self.max_generations = max_generations
        self.heartbeat_timeout = heartbeat_timeout
        self.load_timeout = load_timeout
