"""The engine: schedule, run, sample, publish. Token ids only; text is the front's."""

import time

import msgspec
import numpy as np
from numpy.typing import NDArray

from llmosd.engine.block_pool import BlockPool
from llmosd.engine.grammar import Matcher
from llmosd.engine.runner import Runner
from llmosd.engine.sampler import Draw, draw
from llmosd.engine.scheduler import Scheduler, Slice
from llmosd.engine.sequence import Sequence
from llmosd.errors import LlmosError
from llmosd.ipc.messages import EngineStats, Started, StepResult, Submit, TokenOut


class Engine:
    """Generations of one model, batched continuously."""

    def __init__(self, runner: Runner, scheduler: Scheduler, pool: BlockPool) -> None:
        """The parts are built by engine.loader."""
        self._runner = runner
        self._scheduler = scheduler
        self._pool = pool
        self.refused: dict[int, LlmosError] = {}
        """Generations that could not go on in the last step, and why; the caller clears it."""
        self._steps = 0
        self._prompt_tokens = self._cached_tokens = 0

    @property
    def has_work(self) -> bool:
        """Whether a step would do anything."""
        return self._scheduler.has_work

    @property
    def stats(self) -> EngineStats:
        """The load now."""
        scheduler = self._scheduler
        return EngineStats(
            running=len(scheduler.running),
            waiting=len(scheduler.waiting),
            kv_blocks_used=self._pool.num_used,
            steps=self._steps,
            preemptions=scheduler.preemptions,
            prompt_tokens=self._prompt_tokens,
            cached_tokens=self._cached_tokens,
        )

    def submit(self, request: Submit, matcher: Matcher | None = None) -> None:
        """Queue a generation; raises what Scheduler.add raises."""
        self._scheduler.add(request, matcher)

    def cancel(self, request_id: int, choice: int) -> None:
        """End a generation, or one answer, before the next step."""
        self._scheduler.remove(request_id, choice)

    def step(self) -> StepResult:
        """Run one batch; every sequence that reaches its end draws a token."""
        now = time.monotonic()
        slices = self._scheduler.schedule()
        started = [self._start(s.sequence, now) for s in slices if _is_first(s.sequence)]
        if not slices:
            return StepResult([], started, self.stats)
        logits = self._runner.run(slices)
        tokens = self._draw(slices, logits)
        self._steps += 1
        return StepResult(tokens, started, self.stats)

    def _start(self, sequence: Sequence, now: float) -> Started:
        sequence.started = True
        self._prompt_tokens += len(sequence.request.prompt)
        self._cached_tokens += sequence.computed
        return Started(sequence.request.id, now, sequence.computed)

    def _draw(self, slices: list[Slice], logits: NDArray[np.float32]) -> list[TokenOut]:
        """Draw for the slices that reached their end; a leader draws for all its answers."""
        drawing = [part.sequence for part in slices if part.draws]
        for part in slices:
            self._scheduler.advance(part)
        draws: list[Draw] = []
        rows: list[int] = []
        for row, sequence in enumerate(drawing):
            count = sequence.request.num_choices
            choices = range(count) if sequence.leads else (sequence.choice,)
            draws += [Draw(sequence, choice) for choice in choices]
            rows += [row] * len(choices)
        if not draws:
            return []
        drawn = draw(logits[rows] if len(rows) > len(drawing) else logits, draws)
        # Backwards, so that a leader's followers fork before it takes its own token.
        taken = [self._take(*pair) for pair in zip(reversed(draws), reversed(drawn), strict=True)]
        for request_id in self.refused:
            self._scheduler.remove(request_id, -1)
        return taken

    def _take(self, each: Draw, out: TokenOut) -> TokenOut:
        """Give a drawn token to its answer; the first one of a follower makes its sequence."""
        sequence = each.sequence
        if each.choice == sequence.choice:
            sequence.append(out.token)
        else:
            sequence, copied = self._scheduler.fork(sequence, out.token, each.choice)
            if copied:
                self._runner.copy_block(*copied)
        if sequence.matcher is not None and sequence.matcher.failure is not None:
            self.refused[out.id] = sequence.matcher.failure
            return out
        finish = sequence.finish()
        if finish:
            self._scheduler.finish(sequence)
        return msgspec.structs.replace(out, finish=finish)


def _is_first(sequence: Sequence) -> bool:
    """Whether nothing of the sequence's generation has run yet."""
    return sequence.choice == 0 and not sequence.started
