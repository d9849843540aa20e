"""One answer of a generation, from tokens to what a client is told of it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from llmos.v1.generation_service_pb2 import FinishReason
from llmosd.errors import ContentRefused
from llmosd.policies.policy import Writer
from llmosd.text.detokenizer import Detokenizer, StopMatcher
from llmosd.text.tools import Call, ToolCallReader, ToolFormat
from llmosd.text.vocabulary import Vocabulary

STOP_TOKEN = FinishReason.FINISH_REASON_STOP_TOKEN
STOP_TEXT = FinishReason.FINISH_REASON_STOP_TEXT
MAX_TOKENS = FinishReason.FINISH_REASON_MAX_TOKENS
CANCELLED = FinishReason.FINISH_REASON_CANCELLED
COMPLETE = FinishReason.FINISH_REASON_COMPLETE
TOOL_CALLS = FinishReason.FINISH_REASON_TOOL_CALLS
CONTENT_POLICY = FinishReason.FINISH_REASON_CONTENT_POLICY
REASONS = {"stop": STOP_TOKEN, "length": MAX_TOKENS, "complete": COMPLETE}


@dataclass(frozen=True, slots=True)
class Alternative:
    """A token that could have been drawn."""

    id: int
    bytes: bytes
    logprob: float


@dataclass(frozen=True, slots=True)
class Token:
    """A drawn token; without a logprob where none was asked for."""

    id: int
    bytes: bytes
    logprob: float | None
    top: list[Alternative]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a function, made by the model."""

    id: str
    call: Call


@dataclass(slots=True)
class Delta:
    """New text, tokens, and calls of one answer."""

    choice: int
    text: str = ""
    tokens: list[Token] = field(default_factory=list)
    tool_calls: list[ToolCall] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ChoiceEnd:
    """One answer is complete."""

    choice: int
    reason: FinishReason
    stop: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """All answers are complete. Times in seconds."""

    prompt_tokens: int
    cached_prompt_tokens: int
    completion_tokens: int
    queue: float
    prefill: float
    decode: float


class Answer:
    """One choice: what it said, and what nobody was told yet."""

    def __init__(
        self,
        index: int,
        vocabulary: Vocabulary,
        stops: list[str],
        calls: "Calls",
        writer: Writer | None = None,
    ) -> None:
        """A writer sees what is said before anybody else; see policies."""
        self._index = index
        self._writer = writer
        self.calls = calls
        self.detokenizer = Detokenizer(vocabulary)
        self.matcher = StopMatcher(stops)
        self.text: list[str] = []
        self.num_tokens = 0
        self.pending = Delta(index)
        self.end: ChoiceEnd | None = None
        self.end_told = False

    @property
    def unread(self) -> bool:
        """Whether there is something to tell before the end."""
        return bool(self.pending.text or self.pending.tokens or self.pending.tool_calls)

    def say(self, text: str) -> None:
        """Take text that no stop text can take back; it may be refused, which is the end."""
        try:
            shown, calls = self.calls.read(text)
        except ContentRefused:
            self.end = ChoiceEnd(self._index, CONTENT_POLICY, "")
            return
        self.pending.tool_calls += calls
        self._show(shown)

    def finish(self, end: ChoiceEnd) -> None:
        """Say what was held back, and end."""
        self.say(self.matcher.flush())
        self._show(self.calls.flush(), last=True)
        if self.end is None:
            called = self.calls.made and end.reason in (STOP_TOKEN, COMPLETE)
            self.end = ChoiceEnd(end.choice, TOOL_CALLS if called else end.reason, end.stop)

    def _show(self, text: str, *, last: bool = False) -> None:
        if self.end is not None:  # refused
            return
        if self._writer is not None:
            try:
                text = self._writer.add(text) + (self._writer.flush() if last else "")
            except ContentRefused:
                self.end, text = ChoiceEnd(self._index, CONTENT_POLICY, ""), ""
        if text:
            self.text.append(text)
            self.pending.text += text


class Calls:
    """The calls of one answer; ids are the same each time, and unlike any other generation's."""

    def __init__(
        self, tool_format: ToolFormat | None, prefix: str, check: Callable[[str], str]
    ) -> None:
        """`check` sees the arguments of each call; it may change them, or raise ContentRefused."""
        self._check = check
        self.made: list[ToolCall] = []
        self._reader = ToolCallReader(tool_format) if tool_format else None
        self._prefix = prefix

    def read(self, text: str) -> tuple[str, list[ToolCall]]:
        """Text that is no call, and the calls that are complete."""
        if self._reader is None:
            return text, []
        shown, calls = self._reader.add(text)
        first = len(self.made)
        calls = [call._replace(arguments=self._check(call.arguments)) for call in calls]
        self.made += [ToolCall(f"{self._prefix}-{first + i}", c) for i, c in enumerate(calls)]
        return shown, self.made[first:]

    def flush(self) -> str:
        """What is left at the end, as text."""
        return self._reader.flush() if self._reader else ""
