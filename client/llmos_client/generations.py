"""What comes back from generating: whole answers, and the events of a stream."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from llmos_client.errors import LlmosError


class FinishReason(StrEnum):
    """Why an answer ended."""

    UNSPECIFIED = "unspecified"
    STOP_TOKEN = "stop_token"  # noqa: S105 - not a password
    STOP_TEXT = "stop_text"
    MAX_TOKENS = "max_tokens"
    CANCELLED = "cancelled"
    COMPLETE = "complete"
    TOOL_CALLS = "tool_calls"
    CONTENT_POLICY = "content_policy"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a function, made by the model; `arguments` is a JSON object as text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class TokenAlternative:
    """A token that could have been drawn."""

    id: int
    bytes: bytes
    logprob: float


@dataclass(frozen=True, slots=True)
class TokenOutput:
    """A drawn or scored token; a character may be spread over several.

    Of scored ones rank 1 is the token that the model finds likeliest in its place.
    """

    id: int
    bytes: bytes
    logprob: float | None = None
    top: tuple[TokenAlternative, ...] = ()
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens counted; `completion_tokens` over all choices."""

    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds, as the daemon measured them."""

    queue: float = 0.0
    prefill: float = 0.0
    decode: float = 0.0
    time_to_first_token: float = 0.0


@dataclass(frozen=True, slots=True)
class EffectiveParameters:
    """The request's parameters with every default filled in; None where there is none."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    n: int | None = None
    beams: int | None = None
    length_penalty: float | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    max_tokens: int | None = None
    min_tokens: int | None = None
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool | None = None
    logprobs: int | None = None
    return_tokens: bool | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer; `stop` is the stop text that matched."""

    index: int
    text: str
    finish_reason: FinishReason
    stop: str = ""
    tokens: tuple[TokenOutput, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Generation:
    """All answers to one prompt; `model_version` is the version that answered."""

    name: str
    model_version: str
    parameters: EffectiveParameters
    choices: tuple[Choice, ...]
    usage: Usage
    timings: Timings

    @property
    def text(self) -> str:
        """The first answer's text."""
        return self.choices[0].text if self.choices else ""


@dataclass(frozen=True, slots=True)
class Started:
    """The first event: `generation` is the name that cancel_generation takes."""

    generation_id: str
    sequence: int
    generation: str
    model_version: str
    parameters: EffectiveParameters
    prompt_tokens: int
    turn: int


@dataclass(frozen=True, slots=True)
class Delta:
    """New text of one choice."""

    generation_id: str
    sequence: int
    choice: int
    text: str
    tokens: tuple[TokenOutput, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """One choice ended."""

    generation_id: str
    sequence: int
    choice: int
    finish_reason: FinishReason
    stop: str = ""


@dataclass(frozen=True, slots=True)
class Completed:
    """The whole turn ended."""

    generation_id: str
    sequence: int
    usage: Usage
    timings: Timings


@dataclass(frozen=True, slots=True)
class Failed:
    """The generation ended in this error; the stream goes on."""

    generation_id: str
    sequence: int
    error: LlmosError


@dataclass(frozen=True, slots=True)
class Rejected:
    """The last action was refused; a generation that runs is not touched."""

    generation_id: str
    sequence: int
    error: LlmosError


StreamEvent = Started | Delta | Finished | Completed
ConverseEvent = StreamEvent | Failed | Rejected
