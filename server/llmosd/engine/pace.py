"""How fast an engine is, as measured; and what that says about when a first token can come.

Estimates lean to the early side: a request is refused for its deadline only where even luck would
not save it.
"""

import heapq
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from llmosd.engine.sequence import Sequence

_WINDOW_SECONDS = 3.0
# Smaller chunks say more about the step's fixed cost than about a prompt's.
_FEWEST_PROMPT_TOKENS = 32
# How much of a worse measurement is believed; of a better one, all.
_TRUST = 0.1
# Answers may turn out shorter than they lately were.
_LUCK = 0.5


class Work(NamedTuple):
    """What one step computes: tokens of so many prompts, and the next token of so many answers."""

    prompt_tokens: int
    prompts: int
    answers: int


class Pace:
    """Learns from steps and answers; 0 stands for what has not been measured."""

    def __init__(self) -> None:
        self.prompt_seconds = 0.0  # per token of a prompt
        self.token_seconds = 0.0  # per token of one answer, whatever runs beside it
        self.answer_share = 0.0  # of max_tokens, how many answers draw, on average
        self._steps = self._rows = self._prompt_tokens = self._drawn = 0
        self._past: deque[tuple[float, int, int, int, int]] = deque()

    def learn_step(self, work: Work, *, drawn: int, seconds: float) -> None:
        """Note how long a step took, and how many tokens were drawn in it."""
        self._steps += 1
        self._rows += work.prompts + work.answers
        self._prompt_tokens += work.prompt_tokens
        self._drawn += drawn
        if work.prompt_tokens >= max(_FEWEST_PROMPT_TOKENS, work.answers):
            each = seconds / (work.prompt_tokens + work.answers)
            self.prompt_seconds = _leaning(self.prompt_seconds, each)
        elif work.answers and not work.prompts:
            self.token_seconds = _leaning(self.token_seconds, seconds * work.answers / drawn)

    def learn_answer(self, sequence: Sequence) -> None:
        """Note how long an answer became."""
        if sequence.num_drawn:
            share = sequence.num_drawn / sequence.request.max_tokens
            change = share - self.answer_share
            self.answer_share += change * (_TRUST if self.answer_share else 1.0)

    def rates(self, now: float) -> tuple[float, float, float]:
        """Rows per step, and prompt and drawn tokens per second, since some seconds ago."""
        here = (now, self._steps, self._rows, self._prompt_tokens, self._drawn)
        while len(self._past) > 1 and now - self._past[0][0] > _WINDOW_SECONDS:
            self._past.popleft()
        self._past.append(here)
        seconds, steps, rows, prompt_tokens, drawn = (
            new - old for new, old in zip(here, self._past[0], strict=True)
        )
        if not seconds:
            return 0.0, 0.0, 0.0
        return rows / steps if steps else 0.0, prompt_tokens / seconds, drawn / seconds

    def left(self, sequence: Sequence) -> float:
        """Tokens that an answer will still draw, with luck."""
        expected = self.answer_share * sequence.request.max_tokens * _LUCK
        return max(expected - sequence.num_drawn, 0.0)

    def wait(
        self,
        running: Iterable[Sequence],
        ahead: Iterable[Sequence],
        *,
        places: int,
        own_tokens: int = 0,
    ) -> float:
        """Seconds until something could begin behind all these, and compute its prompt.

        Everybody gets the place that is free first, in order; prompts share the machine.

        Args:
            running: what has a place.
            ahead: what begins before it.
            places: answers that run at once.
            own_tokens: of its prompt, those that are not in the cache.
        """
        tokens, free_at = float(own_tokens), []
        for sequence in running:
            answers = sequence.request.width if sequence.leads else 1
            free_at += [self.left(sequence)] * answers
            tokens += sequence.num_pending if sequence.num_pending > 1 else 0
        free_at += [0.0] * (places - len(free_at))
        heapq.heapify(free_at)
        for sequence in ahead:
            tokens += sequence.num_pending
            for _ in range(sequence.request.width if sequence.leads else 1):
                heapq.heapreplace(free_at, free_at[0] + self.left(sequence))
        return free_at[0] * self.token_seconds + tokens * self.prompt_seconds


def _leaning(known: float, new: float) -> float:
    """A measurement of seconds, moved at once to what is shorter and slowly to what is longer."""
    return new if not known or new < known else known + (new - known) * _TRUST
