"""What the front and an engine say to each other. Tokens are ids; nobody here knows text.

The engine answers a whole step in one StepResult, so traffic does not grow with the streams.
"""

from typing import Literal

import msgspec

from llmosd.ipc.failure import Failure

# Classes of work, as llmos.v1.Priority; a higher one is served first.
LOW, NORMAL, HIGH = range(3)


class LoadEngine(msgspec.Struct, frozen=True, tag=True):
    """First frame to an engine: what to load and what it may use."""

    model_dir: str
    device: str  # "cpu", "cuda"
    dtype: str  # "float32", "bfloat16", "int8", "int4"
    packed_dir: str  # where packed weights are kept; "": nowhere
    kv_cache_bytes: int
    max_sequences: int  # sequences that run at once
    step_tokens: int  # tokens per step, prompt chunks and decoding together
    draft_tokens: int  # tokens of an answer that may be guessed ahead; 0: none
    threads: int
    heartbeat_seconds: float
    tenant_weights: dict[str, float] = {}  # a tenant's share against another's; 1 where not named
    base_dir: str = ""  # of the weights, where model_dir has an adapter to them
    turns: str = ""  # the file by which jobs take turns with engines; "": they do not


class SamplingSpec(msgspec.Struct, frozen=True, array_like=True):
    """Effective sampling parameters; meanings as in llmos.v1.SamplingParameters."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    seed: int
    logit_bias: dict[int, float]
    beams: int = 0  # 0: tokens are drawn; else beginnings that are followed at once
    length_penalty: float = 1.0  # of beams: log-probabilities are divided by length to its power

    @property
    def penalizes(self) -> bool:
        """Whether a draw depends on the tokens before it, beside the network."""
        return bool(self.repetition_penalty != 1 or self.presence_penalty or self.frequency_penalty)


class Constraint(msgspec.Struct, frozen=True, array_like=True):
    """The form of an answer."""

    field: str  # of the request, for errors
    kind: str  # "json_schema", "regex", "lark"
    text: str


Task = Literal["generate", "score", "classify", "encode", "embed"]
"""What is wanted of a prompt; all but the first draw nothing, and are answered by Scored.

score: how likely each of its tokens is, see Scoring. classify: the scores of the labels, or the
grade. encode: the posterior of its latent vector, means and then log-variances. embed: one vector
of hidden_size numbers, see Pooling.
"""


Pooling = Literal["mean", "last", "first"]
"""Which hidden states, after the last norm, a text's vector is made of."""


class Scoring(msgspec.Struct, frozen=True, array_like=True):
    """Which tokens are scored: from place `first` of the prompt on, and `end` right after it.

    Nothing is ever computed from `end`, so it need not fit the context, nor the cache.
    """

    first: int
    end: int
    top: int = 0  # likeliest tokens to tell at each place


class Submit(msgspec.Struct, frozen=True, tag=True):
    """Start a generation of n answers to one prompt, or another task."""

    id: int
    prompt: list[int]
    num_choices: int
    max_tokens: int
    min_tokens: int
    stop_ids: list[int]
    sampling: SamplingSpec
    num_logprobs: int  # -1: none wanted
    tenant: str = ""  # whose prompts' keys and values it may find in the cache
    constraint: Constraint | None = None
    task: Task = "generate"
    priority: int = NORMAL
    deadline: float | None = None  # of the call, in time.monotonic() seconds
    # The latent vector of each answer; none: the prompt's, or drawn where there is no prompt.
    latents: list[list[float]] = []
    scoring: Scoring | None = None  # of task "score"
    pooling: Pooling = "mean"  # of task "embed"
    adapter: int = 0  # that it goes through, see LoadAdapter; 0: none

    @property
    def width(self) -> int:
        """Answers, or their beginnings, that run at once."""
        return max(self.num_choices, self.sampling.beams)

    @property
    def passive(self) -> bool:
        """Whether nothing is drawn."""
        return self.task != "generate"


class LoadAdapter(msgspec.Struct, frozen=True, tag=True):
    """Take in the adapter of a folder, under a number that no other one of this engine ever has."""

    number: int
    model_dir: str


class DropAdapter(msgspec.Struct, frozen=True, tag=True):
    """Let an adapter go that nobody uses any more."""

    number: int


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """End a generation, or one answer of it."""

    id: int
    choice: int = -1  # -1: all


class SetWeights(msgspec.Struct, frozen=True, tag=True):
    """Share among tenants by these from now on; see LoadEngine.tenant_weights."""

    weights: dict[str, float]


class Shutdown(msgspec.Struct, frozen=True, tag=True):
    """End the process."""


class Loading(msgspec.Struct, frozen=True, tag=True):
    """How far loading is."""

    stage: str
    completed: int
    total: int


class Ready(msgspec.Struct, frozen=True, tag=True):
    """Loaded and warm."""

    runner: str
    device: str
    dtype: str
    kv_blocks: int
    kv_block_tokens: int
    vocab_size: int


class AdapterLoaded(msgspec.Struct, frozen=True, tag=True):
    """An adapter can be used, or could not be taken in."""

    number: int
    failure: Failure | None = None


class EngineStats(msgspec.Struct, frozen=True, array_like=True):
    """The engine's load after a step."""

    running: int
    waiting: int
    kv_blocks_used: int
    steps: int
    preemptions: int
    prompt_tokens: int  # of all generations so far that started
    cached_tokens: int  # of these, found in the prefix cache
    drafted_tokens: int  # guessed ahead so far
    accepted_tokens: int  # of these, right


class TenantShare(msgspec.Struct, frozen=True, array_like=True):
    """What one tenant has of an engine."""

    name: str
    weight: float
    running: int
    waiting: int
    prompt_tokens: int  # computed for it; those found in the cache cost it nothing
    generated_tokens: int


class EngineLoad(msgspec.Struct, frozen=True, array_like=True):
    """The load in detail, told a few times a second; rates are of the last seconds."""

    running: list[int]  # by class
    waiting: list[int]
    tenants: list[TenantShare]
    rows_per_step: float
    prompt_rate: float  # tokens per second, computed
    generated_rate: float  # tokens per second, drawn
    estimated_wait: float  # seconds until what waits in NORMAL and HIGH has begun, at best
    generated_tokens: int
    late: int  # generations refused or dropped for their deadline


class TokenOut(msgspec.Struct, frozen=True, array_like=True):
    """One drawn token of one answer."""

    id: int
    choice: int
    token: int
    finish: str  # "", "stop", "length", "complete": its constraint allows nothing more
    logprob: float | None = None
    top: list[tuple[int, float]] | None = None


class Started(msgspec.Struct, frozen=True, array_like=True):
    """A generation whose prompt began to run.

    `at` is in time.monotonic() seconds, one clock for all processes of a machine.
    """

    id: int
    at: float
    cached: int  # prompt tokens found in the prefix cache


class Scored(msgspec.Struct, frozen=True, array_like=True):
    """Log-probabilities of a scored prompt's tokens from `first` on; the same again is no news.

    Of one that is to be classified, the scores of the labels, or its grade; of one that is to be
    encoded, the mean and the log-variance of its latent vector; of one that is to be embedded, its
    vector.
    """

    id: int
    first: int
    logprobs: list[float]
    done: bool
    ranks: list[int] = []  # of scored tokens: how many are likelier, and itself
    top: list[list[tuple[int, float]]] = []  # of scored tokens: the likeliest ones in their place


class StepResult(msgspec.Struct, frozen=True, tag=True):
    """All that one step drew, and the generations whose prompt was first run in it."""

    tokens: list[TokenOut]
    started: list[Started]
    stats: EngineStats
    scored: list[Scored] = []
    load: EngineLoad | None = None  # now and then


class Rejected(msgspec.Struct, frozen=True, tag=True):
    """A generation that the engine cannot run."""

    id: int
    failure: Failure


class Heartbeat(msgspec.Struct, frozen=True, tag=True):
    """The engine's loop is alive and idle."""

    stats: EngineStats
    load: EngineLoad | None = None


ToEngine = LoadEngine | Submit | Cancel | SetWeights | LoadAdapter | DropAdapter | Shutdown
FromEngine = Loading | Ready | StepResult | Rejected | AdapterLoaded | Heartbeat | Failure
