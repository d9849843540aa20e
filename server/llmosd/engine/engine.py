"""The engine: schedule, run, sample, publish. Token ids only; text is the front's."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from torch import Tensor

from llmosd.architectures.architecture import Changes
from llmosd.architectures.config import ModelConfig
from llmosd.engine.adapters import read_changes
from llmosd.engine.beams import BeamSearch
from llmosd.engine.block_pool import BlockPool
from llmosd.engine.draws import Draw, Sampler
from llmosd.engine.grammar import Matcher
from llmosd.engine.pace import Pace, Work
from llmosd.engine.reporting import Reporter
from llmosd.engine.runner import Runner
from llmosd.engine.scheduler import Scheduler
from llmosd.engine.scoring import answer
from llmosd.engine.sequence import Sequence
from llmosd.engine.slices import Slice
from llmosd.errors import DeadlineUnattainable, EngineLost, LlmosError, QueueFull
from llmosd.ipc.messages import (
    EngineStats,
    Heartbeat,
    Scored,
    Started,
    StepResult,
    Submit,
    TokenOut,
)

if TYPE_CHECKING:  # its kernels' compiler is not on every machine
    from llmosd.engine.latents import Prior


class Engine:
    """Generations of one model, batched continuously."""

    def __init__(
        self,
        config: ModelConfig,
        runner: Runner,
        sampler: Sampler,
        scheduler: Scheduler,
        pool: BlockPool,
        prior: "Prior | None" = None,
    ) -> None:
        """The parts are built by engine.loader; `prior` where there are latent vectors."""
        self.config = config
        self._runner = runner
        self._sampler = sampler
        self._scheduler = scheduler
        self._pool = pool
        self._prior = prior
        self.refused: dict[int, LlmosError] = {}
        """Generations that could not go on in the last step, and why; the caller clears it."""
        self._beams = BeamSearch(scheduler, runner, sampler)
        self._reporter = Reporter(scheduler)
        self._steps = 0
        self._prompt_tokens = self._cached_tokens = 0
        self._drafted_tokens = self._accepted_tokens = 0

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
            waiting=scheduler.policy.num_waiting,
            kv_blocks_used=self._pool.num_used,
            steps=self._steps,
            preemptions=scheduler.preemptions,
            prompt_tokens=self._prompt_tokens,
            cached_tokens=self._cached_tokens,
            drafted_tokens=self._drafted_tokens,
            accepted_tokens=self._accepted_tokens,
        )

    def submit(self, request: Submit, matcher: Matcher | None = None) -> None:
        """Queue a generation; raises what Scheduler.add raises."""
        if not self._runner.knows(request.adapter):
            raise EngineLost("its adapter was unloaded; try again", retry_after=1.0)
        if self._prior is not None:
            request = self._prior.complete(request)
        self._scheduler.add(request, matcher, time.monotonic())

    def adapter_layers(self, folder: Path) -> Iterator[Any]:
        """Read an adapter for `set_adapter`, layer by layer. Raises DataCorrupt."""
        return map(self.pack_adapter, read_changes(folder, self.config))

    def pack_adapter(self, changes: Changes) -> Any:
        """A layer for `set_adapter`."""
        return self._runner.pack_adapter(changes)

    def set_adapter(self, adapter: int, layers: list[Any] | None) -> None:
        """Take in an adapter, or, where there are no layers, let one go that nobody uses."""
        self._runner.set_adapter(adapter, layers)

    def set_weights(self, weights: dict[str, float]) -> None:
        """Share among tenants by these from now on."""
        self._scheduler.policy.set_weights(weights)

    def cancel(self, request_id: int, choice: int) -> None:
        """End a generation, or one answer, before the next step."""
        self._scheduler.remove(request_id, choice)
        if choice < 0:
            self._beams.forget(request_id)

    def step(self) -> StepResult:
        """Run one batch; every sequence that reaches its end draws a token.

        A GPU computes while all up to the draw is done here: its runner does not wait, the sampler
        does.
        """
        now = time.monotonic()
        for request_id in self._scheduler.drop_late(now):
            self._beams.forget(request_id)
            self.refused[request_id] = DeadlineUnattainable(
                "the call's deadline passed while it waited; allow more time, or try again later"
            )
        slices = self._scheduler.schedule()
        started = [self._start(s.sequence, now) for s in slices if _is_first(s.sequence)]
        if not slices:
            self._untie()
            return StepResult([], started, self.stats)
        work = _work(slices)
        logits = self._runner.run(slices)
        scored, logits = self._score(slices, logits)
        tokens, drawn = self._draw(slices, logits)
        self._steps += 1
        seconds = time.monotonic() - now
        self._scheduler.forecast.pace.learn_step(work, drawn=drawn, seconds=seconds)
        load = self._reporter.due(now + seconds)
        return StepResult(tokens, started, self.stats, scored, load)

    def heartbeat(self) -> Heartbeat:
        """What an idle engine has to say."""
        return Heartbeat(self.stats, self._reporter.load(time.monotonic()))

    def forget(self) -> None:
        """Begin measuring and accounts anew: what warming up took says nothing about requests."""
        self._scheduler.forecast.pace = Pace()
        self._scheduler.policy.forget()
        self._steps = self._prompt_tokens = self._cached_tokens = 0
        self._drafted_tokens = self._accepted_tokens = 0

    def _start(self, sequence: Sequence, now: float) -> Started:
        sequence.started = True
        self._prompt_tokens += len(sequence.request.prompt)
        self._cached_tokens += sequence.computed
        return Started(sequence.request.id, now, sequence.computed)

    def _score(self, slices: list[Slice], logits: Tensor) -> tuple[list[Scored], Tensor]:
        """Note that the slices have run; what scored ones found, and the others' logits."""
        scored: list[Scored] = []
        others: list[int] = []
        at = first = 0
        for part in slices:
            rows = range(at, at + part.num_logits)
            at = rows.stop
            request = part.sequence.request
            if request.passive:
                own = logits[rows.start : rows.stop]
                found = answer(part, own, first, self._runner, self._sampler)
                scored += [] if found is None else [found]
            else:
                others += rows
            first += part.count + len(part.drafts)
            self._scheduler.advance(part.sequence, part.count)
            if request.passive and not part.sequence.num_pending:
                self._scheduler.finish(part.sequence)
        return scored, logits if len(others) == len(logits) else logits[others]

    def _draw(self, slices: list[Slice], logits: Tensor) -> tuple[list[TokenOut], int]:
        """Draw for the slices that reached their end; a leader draws for all its answers.

        Also how many tokens that makes: searches tell theirs when they have ended.
        """
        # Before any token is taken: what is drawn, and where, is as the step began.
        ended: list[TokenOut] = []
        searched = 0
        if any(part.draws and part.sequence.request.sampling.beams for part in slices):
            ended, searched, logits = self._beams.step(slices, logits)
        planned = [
            (part, _draws(part))
            for part in slices
            if part.draws and not part.sequence.request.sampling.beams
        ]
        taken: list[TokenOut] = []
        if not planned:
            return ended, searched
        draws = [each for _, own in planned for each in own]
        drawn = iter(self._sampler.draw(_spread(logits, planned, len(draws)), draws))
        for part, own in planned:
            outs = list(itertools.islice(drawn, len(own)))
            taken += self._fork(part.sequence, outs) if len(outs) > part.num_logits else []
            taken += self._take(part, outs[: part.num_logits])
        for request_id in self.refused:
            self._scheduler.remove(request_id, -1)
        return ended + taken, searched + len(taken)

    def _untie(self) -> None:
        """Searches can wait for each other's blocks: when nothing runs, the last one gives way."""
        newest = self._beams.newest() if self._scheduler.running else None
        if newest is not None:
            self.refused[newest] = QueueFull(
                "the cache is full of other searches; try again later", retry_after=1.0
            )
            self.cancel(newest, -1)

    def _fork(self, leader: Sequence, outs: list[TokenOut]) -> list[TokenOut]:
        """Begin a leader's followers by their first tokens, before it takes its own."""
        taken = []
        for out in reversed(outs[1:]):
            follower, copied = self._scheduler.fork(leader, out.token, out.choice)
            for source, target in copied:
                self._runner.copy_block(source, target)
            taken.append(self._end(follower, out))
        return taken

    def _take(self, part: Slice, outs: list[TokenOut]) -> list[TokenOut]:
        """Give a sequence what it drew: one token, and one more for each guess that was right."""
        sequence, taken = part.sequence, []
        for out, guess in zip(outs, [*part.drafts, None], strict=True):
            sequence.append(out.token)
            taken.append(self._end(sequence, out))
            if taken[-1].finish or out.token != guess:
                break
            self._scheduler.advance(sequence, 1)
        if part.drafts:
            accepted = len(taken) - 1
            sequence.drafter.learn(len(part.drafts), accepted)
            self._drafted_tokens += len(part.drafts)
            self._accepted_tokens += accepted
        return taken

    def _end(self, sequence: Sequence, out: TokenOut) -> TokenOut:
        """Count a sequence's newest token, and end it where that ends it."""
        self._scheduler.policy.drew(sequence)
        if sequence.matcher is not None and sequence.matcher.failure is not None:
            self.refused[out.id] = sequence.matcher.failure
            return out
        finish = sequence.finish()
        if finish:
            self._scheduler.finish(sequence)
        return msgspec.structs.replace(out, finish=finish)


def _work(slices: list[Slice]) -> Work:
    """What a step is going to compute."""
    prompts = [part.count for part in slices if part.count > 1 or not part.draws]
    return Work(sum(prompts), len(prompts), len(slices) - len(prompts))


def _draws(part: Slice) -> list[Draw]:
    """What a slice draws: its answers' first tokens, or the next ones of one answer."""
    sequence = part.sequence
    if sequence.leads:
        return [Draw(sequence, choice) for choice in range(sequence.request.num_choices)]
    return [Draw(sequence, sequence.choice, ahead) for ahead in range(part.num_logits)]


def _spread(logits: Tensor, planned: list[tuple[Slice, list[Draw]]], rows: int) -> Tensor:
    """One row of logits per draw: a leader's only one is repeated."""
    if rows == len(logits):
        return logits
    counts = [len(own) // part.num_logits for part, own in planned for _ in range(part.num_logits)]
    return logits[[row for row, count in enumerate(counts) for _ in range(count)]]


def _is_first(sequence: Sequence) -> bool:
    """Whether nothing of the sequence's generation has run yet."""
    return sequence.choice == 0 and not sequence.started
