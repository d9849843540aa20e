"""One answer in flight."""

from array import array
from collections import Counter
from functools import cached_property
from hashlib import blake2b
from typing import Any

from llmosd.engine.drafting import Drafter
from llmosd.engine.grammar import Matcher
from llmosd.ipc.messages import HIGH, Submit

_KEY_BYTES = 16


class Sequence:
    """A prompt and what has been drawn after it.

    `computed` tokens have their keys and values in `blocks`; all but the last drawn one, once the
    sequence decodes.
    """

    def __init__(
        self, request: Submit, choice: int, tokens: list[int], matcher: Matcher | None
    ) -> None:
        """`tokens` begins with the request's prompt; `matcher` has seen those after it."""
        self.request = request
        self.choice = choice
        self.tokens = tokens
        self.matcher = matcher
        self.blocks: list[int] = []
        self.computed = 0
        self.started = False
        self.arrival = 0  # its place in the order in which generations came
        self.charged = 0  # tokens that its tenant's account has already
        self.pooled: Any = None  # of the tokens that are computed, where it is to be embedded
        self.kept = False  # begun although higher classes waited: not to be interrupted by them
        salt = request.adapter.to_bytes(blake2b.SALT_SIZE, "big", signed=True)
        first = blake2b(request.tenant.encode(), digest_size=_KEY_BYTES, salt=salt)
        self._keys = [first.digest()]

    @property
    def num_drawn(self) -> int:
        """Tokens of the answer so far."""
        return len(self.tokens) - len(self.request.prompt)

    @property
    def num_pending(self) -> int:
        """Tokens whose keys and values are still to be computed."""
        return len(self.tokens) - self.computed

    @property
    def order(self) -> tuple[int, int]:
        """First come, first served; one generation's answers in their order."""
        return self.arrival, self.choice

    @property
    def standing(self) -> int:
        """The class it counts as while it runs."""
        return HIGH if self.kept else self.request.priority

    @property
    def can_draft(self) -> bool:
        """Whether its next draws depend on nothing but the network and the seed."""
        sampling = self.request.sampling
        plain = self.matcher is None and not sampling.penalizes and not sampling.beams
        return self.num_drawn > 0 and plain

    @cached_property
    def drafter(self) -> Drafter:
        """Guesses at its next tokens."""
        return Drafter()

    @property
    def leads(self) -> bool:
        """Whether other answers wait for this one's prompt."""
        alone = self.request.width == 1 or self.latent is not None
        return self.choice == 0 and self.num_drawn == 0 and not alone

    @property
    def latent(self) -> list[float] | None:
        """The latent vector it is written around, where that is not the prompt's."""
        latents = self.request.latents
        if not latents:
            return None
        # All beginnings of a search are of one answer.
        return latents[0 if self.request.sampling.beams else self.choice]

    @cached_property
    def drawn_counts(self) -> Counter[int]:
        """How often each token stands in the answer; kept up by `append`."""
        return Counter(self.tokens[len(self.request.prompt) :])

    @cached_property
    def prompt_tokens(self) -> frozenset[int]:
        """The prompt's distinct tokens."""
        return frozenset(self.request.prompt)

    def others(self) -> list["Sequence"]:
        """The request's other answers, where each has a latent vector of its own.

        They share nothing of a prompt, so none of them waits for the first one.
        """
        return [
            Sequence(self.request, choice, list(self.tokens), self.matcher and self.matcher.fork())
            for choice in range(1, len(self.request.latents))
        ]

    def block_key(self, index: int, block_tokens: int) -> bytes:
        """Name of block `index`'s keys and values, the block being full.

        A cryptographic hash of all tokens up to its end, of the tenant and of the adapter: one
        tenant can neither find nor forge what another one's prompts left.
        """
        keys = self._keys
        while len(keys) <= index + 1:
            first = (len(keys) - 1) * block_tokens
            tokens = array("I", self.tokens[first : first + block_tokens])
            keys.append(blake2b(keys[-1] + tokens.tobytes(), digest_size=_KEY_BYTES).digest())
        return keys[index + 1]

    def append(self, token: int) -> None:
        """Add a drawn token."""
        if "drawn_counts" in self.__dict__:
            self.drawn_counts[token] += 1
        self.tokens.append(token)
        if self.matcher is not None:
            self.matcher.accept(token)

    def finish(self) -> str:
        """Why the answer ends with its last token, as TokenOut has it; "" when it does not."""
        request = self.request
        if self.num_drawn > request.min_tokens and self.tokens[-1] in request.stop_ids:
            return "stop"
        if self.matcher is not None and self.matcher.complete:
            return "complete"
        return "length" if self.num_drawn >= request.max_tokens else ""
