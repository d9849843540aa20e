"""What comes back about texts that are there already."""

from dataclasses import dataclass

from llmos_client.generations import TokenOutput


@dataclass(frozen=True, slots=True)
class Score:
    """How likely a text is: the sum of its tokens' logprobs; the first token has none."""

    model_version: str
    tokens: tuple[TokenOutput, ...]
    logprob: float
    perplexity: float


@dataclass(frozen=True, slots=True)
class LabelScore:
    """How probable a label is; probabilities are the softmax of all labels' logits."""

    label: str
    probability: float
    logit: float


@dataclass(frozen=True, slots=True)
class Classification:
    """What a text is: all labels, the most probable one first; or a grade, and no labels."""

    model_version: str
    labels: tuple[LabelScore, ...]
    grade: float | None

    @property
    def label(self) -> str:
        """The most probable label; "" where there is a grade instead."""
        return self.labels[0].label if self.labels else ""


@dataclass(frozen=True, slots=True)
class ChoiceScore:
    """How likely a continuation is after its context; rank 1 has the highest `logprob`.

    `greedy`: greedy decoding after the context would write exactly these tokens.
    """

    logprob: float
    logprob_per_token: float
    logprob_per_byte: float
    rank: int
    greedy: bool
    tokens: tuple[TokenOutput, ...]


@dataclass(frozen=True, slots=True)
class ChoiceScores:
    """Continuations of one context, in the order in which they were asked about."""

    model_version: str
    choices: tuple[ChoiceScore, ...]

    @property
    def best(self) -> int:
        """The place of the likeliest one."""
        return next(at for at, choice in enumerate(self.choices) if choice.rank == 1)


@dataclass(frozen=True, slots=True)
class Embedding:
    """A text as a vector, of as many numbers as the model's hidden size; `tokens` were read."""

    values: tuple[float, ...]
    tokens: int


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors in the order of the texts; `pooling` is "mean", "last" or "first"."""

    model_version: str
    vectors: tuple[Embedding, ...]
    pooling: str


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A row of a dataset, and the cosine between its text's vector and the query's."""

    row: int
    text: str
    similarity: float
