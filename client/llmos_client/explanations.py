"""What comes back about why a model answers as it does."""

from dataclasses import dataclass

from llmos_client.generations import TokenOutput


@dataclass(frozen=True, slots=True)
class TokenAttribution:
    """A token of a prompt, and what it adds to the target's logits; below 0 it speaks against."""

    id: int
    bytes: bytes
    attribution: float


@dataclass(frozen=True, slots=True)
class Integration:
    """How well attributions account for the target: their sum should be output - baseline_output.

    `error` is what they miss of it, `steps` how many gradients were computed, and `converged`
    whether it is below 5 %, and not because errors on the way cancel each other.
    """

    output: float
    baseline_output: float
    error: float
    relative_error: float
    steps: int
    converged: bool


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A version and how it was trained, from what and on what; imported ones have no dataset."""

    version: str
    digest: str
    license: str
    source: str
    objective: str
    method: str
    dataset: str
    dataset_digest: str
    base: str
    adapter: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """An answer's tokens with alternatives, the prompt's with attributions, and the lineage."""

    model_version: str
    prompt: tuple[TokenAttribution, ...]
    answer: tuple[TokenOutput, ...]
    integration: Integration
    lineage: tuple[Ancestor, ...]
