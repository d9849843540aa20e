"""The streams of the sync client: iterators that always end their call."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, Unpack

import grpc

from llmos_client import requests
from llmos_client.errors import LlmosError
from llmos_client.generations import ConverseEvent, Delta, StreamEvent
from llmos_client.options import GenerateOptions, MessageLike
from llmos_client.parsing_generations import converse_event, stream_event
from llmos_client.transport import CallContext

E = TypeVar("E")


class EventStream(Generic[E]):
    """An iterator over a call's events; leaving the `with` block, or close(), cancels the call."""

    def __init__(self, call: Any, parse: Callable[[Any], E | None], context: CallContext) -> None:
        self._call = call
        self._parse = parse
        self._context = context
        self._closed = False

    @property
    def request_id(self) -> str:
        """What the daemon's log has this call under."""
        return self._context.request_id

    def __iter__(self) -> Iterator[E]:
        return self

    def __next__(self) -> E:
        while True:
            event = self._next()
            if event is not None:
                return event

    def close(self) -> None:
        """Cancel the call if it is not over; iterating then ends."""
        self._closed = True
        self._call.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # An abandoned iterator must not leave the daemon generating for nobody.
        with suppress(Exception):
            self.close()

    def _next(self) -> E | None:
        try:
            return self._parse(next(self._call))
        except grpc.RpcError as error:
            if self._closed:
                raise StopIteration from None
            raise self._context.error(error) from error
        except LlmosError as error:
            self.close()
            raise self._context.mark(error) from None


class GenerationStream(EventStream[StreamEvent]):
    """The events of one generation."""

    def __init__(self, call: Any, context: CallContext) -> None:
        super().__init__(call, stream_event, context)

    def cancel(self) -> None:
        """End the generation."""
        self.close()

    def text(self, choice: int = 0) -> Iterator[str]:
        """Iterate over the text of one choice alone."""
        for event in self:
            if isinstance(event, Delta) and event.choice == choice and event.text:
                yield event.text


class Conversation(EventStream[ConverseEvent]):
    """Many generations on one stream; iterate over the events of all of them.

    The actions may be called from any thread; they return at once, and what the daemon has to say
    comes as events with the same generation_id.
    """

    def __init__(self, open_call: Callable[[Iterator[Any]], Any], context: CallContext) -> None:
        # Until None says that nothing more will be sent.
        self._outgoing: SimpleQueue[Any] = SimpleQueue()
        super().__init__(open_call(iter(self._outgoing.get, None)), converse_event, context)

    def start(
        self,
        generation_id: str,
        model: str,
        prompt: str | None = None,
        **options: Unpack[GenerateOptions],
    ) -> None:
        """Begin a generation under an id of the caller's choice."""
        request = requests.generate_request(model, prompt, **options)
        self._outgoing.put(requests.converse_start(generation_id, request))

    def append(self, generation_id: str, messages: Sequence[MessageLike]) -> None:
        """Go on after an answered turn."""
        self._outgoing.put(requests.converse_append(generation_id, messages))

    def cancel(self, generation_id: str) -> None:
        """End one generation; the stream goes on."""
        self._outgoing.put(requests.converse_cancel(generation_id))

    def done_sending(self) -> None:
        """Say that nothing more will be asked: what runs finishes, then the stream ends."""
        self._outgoing.put(None)

    def close(self) -> None:
        """Cancel the stream and all that runs on it."""
        # gRPC's sending thread waits on the queue.
        self._outgoing.put(None)
        super().close()
