"""What is drawn in a step, and who draws it."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from llmosd.engine.sequence import Sequence
from llmosd.ipc.messages import TokenOut

# Enough to silence a token, finite so that sums of it stay numbers.
_NEVER = -1e30


@dataclass(frozen=True, slots=True)
class Draw:
    """A token to draw: for which answer of which sequence's prompt, how many tokens ahead."""

    sequence: Sequence
    choice: int
    ahead: int = 0

    @property
    def position(self) -> int:
        """Of the token in its answer."""
        return self.sequence.num_drawn + self.ahead

    @property
    def seen(self) -> list[tuple[int, int]]:
        """Tokens penalties look at, and how often the answer has each; the prompt's have 0."""
        sequence, spec = self.sequence, self.sequence.request.sampling
        if not spec.penalizes:
            return []
        counts = sequence.drawn_counts
        entries = list(counts.items())
        if spec.repetition_penalty != 1:
            entries += [(token, 0) for token in sequence.prompt_tokens if token not in counts]
        return entries

    @property
    def bias(self) -> list[tuple[int, float]]:
        """The request's bias, and a ban on ending before min_tokens."""
        request = self.sequence.request
        entries = list(request.sampling.logit_bias.items())
        if self.position < request.min_tokens:
            entries += [(token, _NEVER) for token in request.stop_ids]
        return entries


class Sampler(Protocol):
    """From logits, where the network left them, to tokens.

    Both implementations compute what llmos_kernels.sampling says.
    """

    def draw(self, logits: Tensor, draws: list[Draw]) -> list[TokenOut]:
        """Draw one token per row of `logits` (rows, vocab_size) float32, which is overwritten."""

    def best(self, logits: Tensor, draws: list[Draw], count: int) -> list[list[tuple[int, float]]]:
        """The `count` likeliest tokens of each row, with log-probabilities, most likely first.

        Tokens that a request does not allow here are left out; its bias moves the others.
        """

    def score(
        self, logits: Tensor, tokens: list[int], count: int = 0
    ) -> tuple[list[float], list[int], list[list[tuple[int, float]]]]:
        """How likely one token per row of `logits` is.

        Returns:
            Log-probabilities; ranks, 1 for the likeliest token, of equals the one with the lower id
            first; and of each row the `count` likeliest tokens with log-probabilities, none where
            it is 0.
        """
