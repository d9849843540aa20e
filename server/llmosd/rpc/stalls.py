"""Streams that stand still: a sender that sends next to nothing, a reader that does not read."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc

from llmosd.errors import StreamStalled
from llmosd.rpc import status

# Of an upload. Whoever sends a byte now and then would hold its place for ever.
_SLOWEST_BYTES_PER_SECOND = 1_000


class Stall:
    """Ends the task of a call whose reader did not take an answer within `seconds`."""

    def __init__(self, seconds: float, context: Any) -> None:
        self._seconds = seconds
        self._context = context
        self._told: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._timer: asyncio.TimerHandle | None = None
        self.over = False

    def arm(self) -> None:
        """An answer is given to the connection."""
        self._timer = self._loop.call_later(self._seconds, self._end)

    def disarm(self) -> None:
        """It was taken, or nobody wants it any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _end(self) -> None:
        self.over = True
        self._told = self._loop.create_task(self._tell())
        self._task.cancel()

    async def _tell(self) -> None:
        """Put the status behind what is still to be read: the call ends when it is, or is gone."""
        error = self.error()
        with contextlib.suppress(grpc.RpcError, grpc.aio.AbortError, grpc.aio.UsageError):
            await self._context.abort(
                status.code_of(error), error.message, trailing_metadata=status.trailers(error)
            )

    def error(self) -> StreamStalled:
        """What the log says."""
        return StreamStalled(f"the reader took nothing for {self._seconds:g} s")


async def paced(given: Any, seconds: float, *, upload: bool) -> AsyncIterator[Any]:
    """The messages of a stream; an upload has to bring 1,000 bytes a second, over any `seconds`.

    Raises:
        StreamStalled: no message came for `seconds`, or too little of an upload.
    """
    incoming = aiter(given)
    began, brought = time.monotonic(), 0
    while True:
        try:
            async with asyncio.timeout(seconds):
                message = await anext(incoming)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise StreamStalled(
                f"the stream brought nothing for {seconds:g} s; send on, or end it"
            ) from None
        brought += len(message)
        if upload and time.monotonic() - began > seconds:
            if brought < seconds * _SLOWEST_BYTES_PER_SECOND:
                raise StreamStalled(
                    f"the upload brought {brought} bytes in {seconds:g} s; send faster, and in "
                    "larger chunks"
                )
            began, brought = time.monotonic(), 0
        yield message
