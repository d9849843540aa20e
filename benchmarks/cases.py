"""What is measured: fixed prompts, numbers of streams, numbers of tokens."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peer import Request, Timing

BESIDE = "decode beside a busy process"
PROMPTS = Path(__file__).with_name("prompts.json")
_STRIDE = 61  # odd, so that windows begin at every token of a text of 1,024 before one comes again


@dataclass(frozen=True)
class Case:
    """One batch: `streams` requests at once."""

    streams: int
    prompt: int
    tokens: int
    neighbour: bool = False  # beside a process that takes all the time it gets

    def measures(self, timings: list[Timing]) -> dict[str, float]:
        """What the batch says, by measure; seconds, or tokens per second."""
        wall = max(timing.total for timing in timings)
        if self.streams > 1:
            return {f"{self.streams} streams": sum(t.tokens for t in timings) / wall}
        (timing,) = timings
        rate = (timing.tokens - 1) / (timing.total - timing.first)
        if self.neighbour:
            return {BESIDE: rate}
        return {
            f"first token, prompt of {self.prompt}": timing.first,
            f"prefill, prompt of {self.prompt}": self.prompt / timing.first,
            f"decode, prompt of {self.prompt}": rate,
        }


@dataclass(frozen=True)
class Plan:
    """All batches, and how often each is run by both of a pair."""

    cases: tuple[Case, ...]
    rounds: int


FULL = Plan(
    tuple(Case(1, prompt, 128) for prompt in (32, 128, 512))
    + tuple(Case(streams, 128, 128) for streams in (8, 32))
    + (Case(1, 128, 128, neighbour=True),),
    rounds=3,
)
QUICK = Plan(
    tuple(Case(1, prompt, 8) for prompt in (32, 128, 512))
    + tuple(Case(streams, 16, 8) for streams in (8, 32))
    + (Case(1, 32, 8, neighbour=True),),
    rounds=2,
)

# Measures that are shown, in this order; the others are in build/bench.json.
SHOWN = (
    "first token, prompt of 32",
    "first token, prompt of 128",
    "first token, prompt of 512",
    "prefill, prompt of 512",
    "decode, prompt of 128",
    BESIDE,
    "8 streams",
    "32 streams",
)


def is_time(measure: str) -> bool:
    """Whether less is better."""
    return measure.startswith("first token")


def batches(plan: Plan, turn: int = 0) -> Iterator[tuple[Case, list[Request]]]:
    """Every batch of one round after another.

    No prompt begins like an earlier one, those of earlier turns included, so no engine answers
    from what it remembers.
    """
    ids: list[int] = json.loads(PROMPTS.read_text())["ids"]
    requests = plan.rounds * sum(case.streams for case in plan.cases)
    text, at = ids * 2, turn * requests * _STRIDE % len(ids)
    for _ in range(plan.rounds):
        for case in plan.cases:
            batch = []
            for _ in range(case.streams):
                batch.append(Request(text[at : at + case.prompt], case.tokens))
                at = (at + _STRIDE) % len(ids)
            yield case, batch
