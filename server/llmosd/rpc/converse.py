"""The bidirectional stream: many generations at once, each with its own turns and numbers."""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator

import structlog

from llmos.v1 import chat_pb2
from llmos.v1 import generation_service_pb2 as pb
from llmosd.errors import (
    FeatureUnavailable,
    GenerationInProgress,
    GenerationNotFound,
    InternalError,
    InvalidField,
    LimitExceeded,
    LlmosError,
)
from llmosd.rpc import convert, status
from llmosd.rpc.caller import Caller
from llmosd.rpc.events import numbered
from llmosd.rpc.generator import Generator, Running

_log = structlog.get_logger()
# On one stream: generations that run at once, and ended ones that a turn can be appended to.
_MOST_RUNNING = 256
_MOST_KEPT = 256
# Events between the generations and the writer. Each generation waits here when the reader is
# slow, and merges what its engine draws meanwhile.
_QUEUED_EVENTS = 64


class _Conversation:
    """One generation id: its request as it grows, and the turn that runs."""

    def __init__(self, request: pb.GenerateRequest) -> None:
        self.request = request
        self.turn = 0
        self.sequence = 0
        self.running: Running | None = None
        self.cancelled = False
        self.task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        return self.task is not None and not self.task.done()


class Conversations:
    """State of one Converse call."""

    def __init__(self, generator: Generator, caller: Caller) -> None:
        self._generator = generator
        self._caller = caller
        self._conversations: OrderedDict[str, _Conversation] = OrderedDict()
        self._events: asyncio.Queue[pb.GenerateEvent | None] = asyncio.Queue(_QUEUED_EVENTS)
        self._reader: asyncio.Task[None] | None = None

    async def run(
        self, requests: AsyncIterator[pb.ConverseRequest]
    ) -> AsyncIterator[pb.GenerateEvent]:
        """Events of all generations, until the client has closed its side and all are over."""
        self._reader = asyncio.create_task(self._read(requests))
        while (event := await self._events.get()) is not None:
            yield event
        await self._reader  # raises what a bad message raised

    async def close(self) -> None:
        """Cancel everything that still runs."""
        tasks = [c.task for c in self._conversations.values() if c.task is not None]
        tasks += [self._reader] if self._reader is not None else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, requests: AsyncIterator[pb.ConverseRequest]) -> None:
        try:
            async for request in requests:
                try:
                    self._act(request)
                except LlmosError as error:
                    await self._refuse(request.generation_id, error)
            running = [c.task for c in self._conversations.values() if c.busy and c.task]
            await asyncio.gather(*running)
        finally:
            # The writer ends with the reader, also when a message was no message.
            with contextlib.suppress(asyncio.CancelledError):
                await self._events.put(None)

    def _act(self, request: pb.ConverseRequest) -> None:
        action = request.WhichOneof("action")
        if action == "start":
            self._start(request.generation_id, request.start)
            return
        conversation = self._conversations.get(request.generation_id)
        if conversation is None:
            raise GenerationNotFound("generation_id: nothing was started under it on this stream")
        if action == "append":
            self._append(request.generation_id, conversation, request.append)
        else:
            conversation.cancelled = True
            if conversation.running is not None:
                conversation.running.generation.cancel()

    def _start(self, generation_id: str, request: pb.GenerateRequest) -> None:
        if generation_id in self._conversations:
            raise InvalidField.of("generation_id", "is in use on this stream; choose another")
        self._make_room()
        conversation = _Conversation(request)
        self._conversations[generation_id] = conversation
        conversation.task = asyncio.create_task(self._take_turn(generation_id, conversation))

    def _append(
        self, generation_id: str, conversation: _Conversation, append: pb.ConverseAppend
    ) -> None:
        if conversation.busy:
            raise GenerationInProgress("the turn before is still being answered; wait, or cancel")
        if conversation.request.WhichOneof("input") != "chat":
            raise FeatureUnavailable("turns can be appended to a chat only; start with chat input")
        if conversation.running is not None:
            generation = conversation.running.generation
            answer, calls = generation.text(0), generation.tool_calls(0)
            if answer or calls:
                conversation.request.chat.messages.add(
                    role=chat_pb2.ChatMessage.ROLE_ASSISTANT,
                    content=answer,
                    tool_calls=map(convert.tool_call, calls),
                )
            conversation.running = None
        conversation.request.chat.messages.extend(append.messages)
        self._conversations.move_to_end(generation_id)
        conversation.task = asyncio.create_task(self._take_turn(generation_id, conversation))

    def _make_room(self) -> None:
        """Forget the oldest ended conversations; refuse too many running ones."""
        ended = [name for name, c in self._conversations.items() if not c.busy]
        if len(self._conversations) - len(ended) >= _MOST_RUNNING:
            raise LimitExceeded(
                f"{_MOST_RUNNING} generations run on this stream; wait for one, or open another"
            )
        for name in ended[: max(0, len(ended) - _MOST_KEPT + 1)]:
            del self._conversations[name]

    async def _take_turn(self, generation_id: str, conversation: _Conversation) -> None:
        """Run one turn and put its events on the stream."""
        conversation.turn += 1
        conversation.cancelled = False
        try:
            running = await self._generator.start(conversation.request, self._caller)
            conversation.running = running
            try:
                if conversation.cancelled:  # while it was being prepared
                    running.generation.cancel()
                turn, first = conversation.turn, conversation.sequence + 1
                async for event in numbered(running, generation_id, turn=turn, first=first):
                    conversation.sequence = event.sequence
                    await self._events.put(event)
            finally:
                self._generator.end(running.generation)
        except LlmosError as error:
            await self._fail(generation_id, conversation, error)
        except Exception:  # noqa: BLE001 - the stream goes on whatever befell one generation
            _log.exception("generation_crashed")
            crash = InternalError("an internal error; the daemon's log has it under this request")
            await self._fail(generation_id, conversation, crash)

    async def _fail(
        self, generation_id: str, conversation: _Conversation, error: LlmosError
    ) -> None:
        conversation.sequence += 1
        await self._events.put(
            pb.GenerateEvent(
                generation_id=generation_id,
                sequence=conversation.sequence,
                failed=status.to_status(error),
            )
        )

    async def _refuse(self, generation_id: str, error: LlmosError) -> None:
        """Say that an action was refused; it takes a number only where a generation counts."""
        event = pb.GenerateEvent(generation_id=generation_id, rejected=status.to_status(error))
        await self._events.put(event)
