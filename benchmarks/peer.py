"""What an engine must offer to be measured. Standard library only: peers live in other venvs."""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol


@dataclass(frozen=True)
class Request:
    """A prompt as token ids, and how many tokens to answer, whatever they are; greedy."""

    ids: list[int]
    tokens: int


@dataclass(frozen=True)
class Timing:
    """Seconds from the start of the batch to a request's first and last token."""

    first: float
    total: float
    tokens: int


class Peer(Protocol):
    """An engine. Runs in a worker process of its own."""

    name: str

    def available(self) -> str:
        """Why it cannot run here, and how to install it; empty when it can."""

    def load(self, gguf: str) -> str:
        """Load the model from a GGUF file; returns how it holds the weights."""

    def generate(self, batch: list[Request]) -> list[Timing]:
        """Answer all requests, at once where it can."""

    def close(self) -> None:
        """Let go of what outlives the process."""


def missing(module: str, install: str) -> str:
    """What `available` answers for an engine that is one Python module."""
    if find_spec(module) is not None:
        return ""
    return f"the module {module} is not installed; pip install {install}"


def processors() -> int:
    """Threads that every engine gets."""
    return len(os.sched_getaffinity(0))
