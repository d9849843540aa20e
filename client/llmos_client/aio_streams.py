"""The streams of the asyncio client: the same as `streams`, awaited."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, Unpack

import grpc

from llmos_client import requests
from llmos_client.errors import CallCancelledError, LlmosError
from llmos_client.generations import ConverseEvent, Delta, StreamEvent
from llmos_client.options import GenerateOptions, MessageLike
from llmos_client.parsing_generations import converse_event, stream_event
from llmos_client.transport import CallContext

E = TypeVar("E")


class AsyncEventStream(Generic[E]):
    """An async iterator over a call's events.

    Leaving the `async with` block, or close(), cancels the call.
    """

    def __init__(self, call: Any, parse: Callable[[Any], E | None], context: CallContext) -> None:
        self._call = call
        self._events = call.__aiter__()
        self._parse = parse
        self._context = context
        self._closed = False

    @property
    def request_id(self) -> str:
        """What the daemon's log has this call under."""
        return self._context.request_id

    def __aiter__(self) -> AsyncIterator[E]:
        return self

    async def __anext__(self) -> E:
        while True:
            event = await self._next()
            if event is not None:
                return event

    def close(self) -> None:
        """Cancel the call if it is not over; iterating then ends."""
        self._closed = True
        self._call.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # grpc.aio never cancels a call that nobody reads any more.
        with suppress(Exception):
            self.close()

    async def _next(self) -> E | None:
        try:
            return self._parse(await anext(self._events))
        except grpc.RpcError as error:
            raise self._context.error(error) from error
        except asyncio.CancelledError:
            # Ours, from close(), unless it is the task that is being cancelled.
            task = asyncio.current_task()
            if self._closed and not (task and task.cancelling()):
                raise StopAsyncIteration from None
            raise
        except LlmosError as error:
            self.close()
            raise self._context.mark(error) from None


class AsyncGenerationStream(AsyncEventStream[StreamEvent]):
    """The events of one generation."""

    def __init__(self, call: Any, context: CallContext) -> None:
        super().__init__(call, stream_event, context)

    def cancel(self) -> None:
        """End the generation."""
        self.close()

    async def text(self, choice: int = 0) -> AsyncIterator[str]:
        """Iterate over the text of one choice alone."""
        async for event in self:
            if isinstance(event, Delta) and event.choice == choice and event.text:
                yield event.text


class AsyncConversation(AsyncEventStream[ConverseEvent]):
    """Many generations on one stream; iterate over the events of all of them."""

    def __init__(self, call: Any, context: CallContext) -> None:
        super().__init__(call, converse_event, context)
        # gRPC takes one message at a time.
        self._sending = asyncio.Lock()

    async def start(
        self,
        generation_id: str,
        model: str,
        prompt: str | None = None,
        **options: Unpack[GenerateOptions],
    ) -> None:
        """Begin a generation under an id of the caller's choice."""
        request = requests.generate_request(model, prompt, **options)
        await self._send(requests.converse_start(generation_id, request))

    async def append(self, generation_id: str, messages: Sequence[MessageLike]) -> None:
        """Go on after an answered turn."""
        await self._send(requests.converse_append(generation_id, messages))

    async def cancel(self, generation_id: str) -> None:
        """End one generation; the stream goes on."""
        await self._send(requests.converse_cancel(generation_id))

    async def done_sending(self) -> None:
        """Say that nothing more will be asked: what runs finishes, then the stream ends."""
        async with self._sending:
            await self._call.done_writing()

    async def _send(self, request: Any) -> None:
        async with self._sending:
            try:
                await self._call.write(request)
            except grpc.RpcError as error:
                raise self._context.error(error) from error
            except asyncio.InvalidStateError:
                raise CallCancelledError("the stream is over", code="CANCELLED") from None
