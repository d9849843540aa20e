"""What can be asked of a version that is in memory, whichever process it is served by."""

import asyncio
import contextlib
from typing import Any, Protocol

from llmosd.errors import LlmosError
from llmosd.ipc.messages import EngineLoad, EngineStats, Ready, Scored, Started, TokenOut


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


class Account:
    """The requests that one version has in its process, and how many have ended."""

    def __init__(self) -> None:
        self.running = self.waiting = 0
        self.ended = self.faults = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def enter(self) -> None:
        """Note one that waits."""
        self.waiting += 1
        self._idle.clear()

    def begin(self) -> None:
        """Note that one runs."""
        self.waiting -= 1
        self.running += 1

    def count(self, *, faulty: bool) -> None:
        """Note that one ended, perhaps by the engine's fault."""
        self.ended += 1
        self.faults += faulty

    def leave(self, *, ran: bool) -> None:
        """Forget one that `ran`, or only waited."""
        self.running -= ran
        self.waiting -= not ran
        if not self.running + self.waiting:
            self._idle.set()

    async def wait_idle(self, seconds: float) -> None:
        """Return when nothing runs or waits, or after `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()


class ModelHandle(Protocol):
    """A version that is in memory.

    Attributes:
        ready: what its process said when it was loaded.
        account: of its requests.
        load: what there is to do, as the process told it last; an adapter's is its base's.
    """

    ready: Ready
    account: Account
    load: EngineLoad

    @property
    def stats(self) -> EngineStats:
        """Counts of the process; of an adapter its own running and waiting requests."""

    @property
    def pid(self) -> int:
        """Of the process."""

    @property
    def num_generations(self) -> int:
        """Its requests that run or wait."""
        return self.account.running + self.account.waiting

    @property
    def ended(self) -> int:
        """Requests that came to an end, one way or another."""
        return self.account.ended

    @property
    def faults(self) -> int:
        """Of these, the ones that failed by the engine's fault."""
        return self.account.faults

    async def wait_idle(self, seconds: float) -> None:
        """Return when no request runs or waits, or after `seconds`."""
        await self.account.wait_idle(seconds)

    def submit(self, listener: Listener, request: Any) -> int:
        """Hand a generation to the engine; `request(id)` makes the Submit frame.

        Raises:
            QueueFull: as many run and wait as may, and no other tenant has more of them.
            EngineLost: the process is gone.
        """

    def cancel(self, identifier: int, choice: int = -1) -> None:
        """End a generation, or one answer of it; the listener hears no more of it."""

    async def stop(self) -> None:
        """End it and wait until its memory is back."""


def no_load() -> EngineLoad:
    """Of what has nothing to do."""
    return EngineLoad([0] * 3, [0] * 3, [], 0.0, 0.0, 0.0, 0.0, 0, 0)
