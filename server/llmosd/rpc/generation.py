"""One generation in the front: tokens of its engine become text, stop texts end it.

Text grows when tokens arrive, whether or not anybody reads: a slow reader gets fewer, larger
deltas, and holds neither the engine nor more memory than the answer's own text.
"""

import asyncio
import time
from collections.abc import AsyncIterator

from llmos.v1.generation_service_pb2 import FinishReason
from llmosd.errors import LlmosError
from llmosd.ipc.messages import Started, TokenOut
from llmosd.rpc.answer import (
    CANCELLED,
    REASONS,
    STOP_TEXT,
    Alternative,
    Answer,
    Calls,
    ChoiceEnd,
    Delta,
    Outcome,
    Token,
    ToolCall,
)
from llmosd.rpc.guard import UNGUARDED, Guard
from llmosd.supervisor.model_handle import Listener, ModelHandle
from llmosd.text.tools import ToolFormat
from llmosd.text.vocabulary import Vocabulary


class Generation(Listener):
    """Listener of an engine, and source of a stream's events."""

    def __init__(
        self,
        name: str,
        vocabulary: Vocabulary,
        *,
        num_choices: int,
        stops: list[str],
        prompt_tokens: int,
        want_tokens: bool,
        arrived: float,
        tool_format: ToolFormat | None = None,
        guard: Guard = UNGUARDED,
    ) -> None:
        """`name` is the resource name, generations/ID; `arrived` is in time.monotonic() seconds."""
        self.name = name
        self._vocabulary = vocabulary
        call_ids = f"call-{name.removeprefix('generations/')}"
        self._answers = [
            Answer(
                at,
                vocabulary,
                stops,
                Calls(tool_format, f"{call_ids}-{at}", guard.arguments),
                guard.writer(),
            )
            for at in range(num_choices)
        ]
        self._prompt_tokens = prompt_tokens
        self._want_tokens = want_tokens
        self._arrived = arrived
        self._started = self._first = self._last = 0.0
        self._cached = 0
        self._news = asyncio.Event()
        self._error: LlmosError | None = None
        self._handle: ModelHandle | None = None
        self._id = 0

    def attach(self, handle: ModelHandle, identifier: int) -> None:
        """Note where it runs, so that it can be cancelled."""
        self._handle, self._id = handle, identifier

    @property
    def ended(self) -> bool:
        """Whether nothing more will be drawn."""
        return self._error is not None or all(answer.end for answer in self._answers)

    @property
    def num_tokens(self) -> int:
        """Tokens drawn, over all answers."""
        return sum(answer.num_tokens for answer in self._answers)

    @property
    def longest(self) -> int:
        """Tokens of the longest answer."""
        return max(answer.num_tokens for answer in self._answers)

    @property
    def began(self) -> bool:
        """Whether its prompt began to run."""
        return self._started > 0

    @property
    def error(self) -> LlmosError | None:
        """What the engine gave up for."""
        return self._error

    def ends(self) -> list[FinishReason]:
        """Why those answers ended that have."""
        return [answer.end.reason for answer in self._answers if answer.end is not None]

    def text(self, choice: int) -> str:
        """What an answer said so far."""
        return "".join(self._answers[choice].text)

    @property
    def num_choices(self) -> int:
        """Answers asked for."""
        return len(self._answers)

    def tool_calls(self, choice: int) -> list[ToolCall]:
        """The calls an answer made so far."""
        return self._answers[choice].calls.made

    def on_started(self, started: Started) -> None:
        """The prompt began to run."""
        self._started, self._cached = started.at, started.cached

    def on_token(self, token: TokenOut) -> None:
        """An answer grew by one token."""
        answer = self._answers[token.choice]
        if answer.end is not None:
            return
        self._last = time.monotonic()
        self._first = self._first or self._last
        answer.num_tokens += 1
        if self._want_tokens:
            answer.pending.tokens.append(self._token(token))
        # The token that ended the answer is not part of its text.
        text = "" if token.finish == "stop" else answer.detokenizer.add(token.token)
        if token.finish:
            text += answer.detokenizer.flush()
        shown, stop = answer.matcher.add(text)
        answer.say(shown)
        if stop is not None:
            answer.finish(ChoiceEnd(token.choice, STOP_TEXT, stop))
        elif token.finish:
            answer.finish(ChoiceEnd(token.choice, REASONS[token.finish], ""))
        if answer.end is not None and not token.finish and self._handle is not None:
            self._handle.cancel(self._id, token.choice)
        self._news.set()

    def on_failed(self, error: LlmosError) -> None:
        """The engine gave up on it."""
        self._error = error
        self._news.set()

    def cancel(self) -> bool:
        """End it where it is; False when it had ended."""
        if self.ended:
            return False
        if self._handle is not None:
            self._handle.cancel(self._id)
        for index, answer in enumerate(self._answers):
            if answer.end is None:
                answer.finish(ChoiceEnd(index, CANCELLED, ""))
        self._news.set()
        return True

    async def events(self) -> AsyncIterator[Delta | ChoiceEnd | Outcome]:
        """Deltas and ends as they come, the outcome last. Raises what ended the generation."""
        while True:
            await self._news.wait()
            self._news.clear()
            if self._error is not None:
                raise self._error
            for index, answer in enumerate(self._answers):
                if answer.unread:
                    delta, answer.pending = answer.pending, Delta(index)
                    yield delta
                if answer.end is not None and not answer.end_told and not answer.unread:
                    answer.end_told = True
                    yield answer.end
            if all(answer.end_told for answer in self._answers):
                yield self.outcome()
                return

    def outcome(self) -> Outcome:
        """What it took so far."""
        started = self._started or self._arrived
        first = self._first or started
        return Outcome(
            prompt_tokens=self._prompt_tokens,
            cached_prompt_tokens=self._cached,
            completion_tokens=self.num_tokens,
            queue=started - self._arrived,
            prefill=first - started,
            decode=max(self._last - first, 0.0),
        )

    def _token(self, token: TokenOut) -> Token:
        spell = self._vocabulary.token_bytes
        top = [Alternative(at, spell(at), logprob) for at, logprob in token.top or []]
        return Token(token.token, spell(token.token), token.logprob, top)
