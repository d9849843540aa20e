"""What the training loop asks of an objective, and what an objective asks of a network."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from torch import Generator, Tensor

from llmosd.objectives.batch import Batch


class Network(Protocol):
    """A network as objectives see it; see architectures.trainable.network."""

    training: bool

    def __call__(
        self,
        ids: Tensor,
        lengths: tuple[int, ...],
        perturbation: Tensor | None = None,
        **carry: Any,
    ) -> Tensor:
        """Hidden states (tokens, hidden); see trainable.carried for `carry`."""

    @property
    def head(self) -> Any:
        """(vocabulary, hidden) weights of the scores of a token."""

    def scores(self, hidden: Tensor, lengths: tuple[int, ...]) -> Tensor:
        """(examples, labels) scores, or (examples, 1) grades."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a batch, or a part of one, says.

    Attributes:
        loss: sum over what is counted; a scalar to differentiate.
        count: tokens, examples or pairs; the step divides by the whole batch's.
        metrics: sums over what is counted, by name: the mean is what people see. "loss" is always
            there, and may leave out what only training adds.
        sums: tensors to add up over an evaluation, for `Summarizing.summarize`.
    """

    loss: Tensor
    count: int
    metrics: dict[str, float]
    sums: dict[str, Tensor] = field(default_factory=dict)


class Objective(Protocol):
    """One way to learn.

    Attributes:
        shifted: batches hold each token's successor as its target, not the token itself.
        group: examples that belong together: two of a pair.
        words: the loss is one of words, whose exponential is the perplexity.
    """

    shifted: bool
    group: int
    words: bool

    def prepare(self, network: Network, batch: Batch, generator: Generator, parts: int) -> Batch:
        """What is decided once for a whole step, before it is split into parts."""

    def count(self, batch: Batch) -> int:
        """What the loss of `batch` will be a sum over."""

    def loss(self, network: Network, batch: Batch) -> Outcome:
        """The sum of losses. Without gradients, what evaluation wants to know too."""

    def guess(self) -> float | None:
        """The mean loss of knowing nothing; None where there is no such number."""


@runtime_checkable
class Summarizing(Protocol):
    """An objective whose evaluation has figures that are no means over what is counted."""

    def summarize(self, sums: dict[str, Tensor]) -> dict[str, float]:
        """Figures of the sums of all `Outcome.sums`; they replace means of the same name."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What objectives are told; see TrainSpec and LatentSpec, whose fields they are.

    Attributes:
        vocab_size: tokens the network knows.
        labels: classes.
        mask_id: the token that stands for a hidden one.
    """

    vocab_size: int
    labels: int = 0
    mask_id: int = 0
    label_smoothing: float = 0.0
    mask_share: float = 0.15
    beta: float = 0.1
    distill_temperature: float = 1.0
    distill_share: float = 0.5
    kl_weight: float = 1.0
    kl_schedule: str = "linear"
    kl_warmup_steps: int = 0
    kl_cycles: int = 4
    free_bits: float = 0.0
    word_dropout: float = 0.0
    importance_samples: int = 8


Build = Callable[[Settings, Network | None], Objective]
"""Makes an objective. The second is the reference (dpo, kto) or the teacher (distill)."""
