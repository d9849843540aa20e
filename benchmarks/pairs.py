"""llmos and a peer in turns, A B A B, so that whatever befalls the machine befalls both."""

import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Protocol

from benchmarks.cases import Plan, batches
from benchmarks.peer import Request, Timing

Samples = dict[str, list[float]]


class Generates(Protocol):
    """What a pair asks of its two sides."""

    def generate(self, batch: list[Request]) -> list[Timing]:
        """Answer all requests."""


def measure(
    sides: list[Generates], plan: Plan, say: Callable[[str], None] = lambda _: None, turn: int = 0
) -> list[Samples]:
    """Samples of each side by measure; one warm-up, which does not count."""
    samples: list[Samples] = [defaultdict(list) for _ in sides]
    _, (first, *_) = next(batches(plan, turn))
    # Backwards: nothing that is measured may begin like it.
    warm_up = [Request(first.ids[::-1], first.tokens)]
    for side in sides:
        side.generate(warm_up)
    for case, batch in batches(plan, turn):
        say(f"{case.streams} x ({case.prompt} + {case.tokens})")
        with _busy_process() if case.neighbour else nullcontext():
            for side, into in zip(sides, samples, strict=True):
                for name, value in case.measures(side.generate(batch)).items():
                    into[name].append(value)
    return samples


@contextmanager
def _busy_process() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()
