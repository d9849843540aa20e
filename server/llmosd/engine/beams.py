"""Beam search: of all beginnings of an answer, the likeliest few go on.

Graves, 2012; Sutskever et al., 2014; the length's penalty as in transformers. Each beginning is a
sequence of the scheduler, so that a group of them is batched, preempted and computed again like any
others; it goes on when all of its members have been computed. Beginnings that have a parent in
common share its blocks.
"""

from dataclasses import dataclass, field

import msgspec
from torch import Tensor

from llmosd.engine.draws import Draw, Sampler
from llmosd.engine.runner import Runner
from llmosd.engine.scheduler import Scheduler
from llmosd.engine.sequence import Sequence
from llmosd.engine.slices import Slice
from llmosd.ipc.messages import Submit, TokenOut

_IMPOSSIBLE = -1e20
"""What is forbidden is as unlikely as this."""
Candidates = list[tuple[int, float]]


@dataclass(slots=True)
class _Beginning:
    """A sequence, the log-probabilities of its tokens, and what may come next."""

    sequence: Sequence
    logprobs: list[float]
    candidates: Candidates | None = None

    @property
    def score(self) -> float:
        return sum(self.logprobs)


@dataclass(slots=True)
class _Ended:
    """A whole answer; `score` is its log-probability over length ** length_penalty."""

    score: float
    tokens: list[int]
    logprobs: list[float]
    finish: str


@dataclass(slots=True)
class _Group:
    request: Submit
    live: list[_Beginning]
    ended: list[_Ended] = field(default_factory=list)


class BeamSearch:
    """The generations that are searched for."""

    def __init__(self, scheduler: Scheduler, runner: Runner, sampler: Sampler) -> None:
        """Sequences are the scheduler's; the runner copies what they hold."""
        self._scheduler = scheduler
        self._runner = runner
        self._sampler = sampler
        self._groups: dict[int, _Group] = {}

    def step(self, slices: list[Slice], logits: Tensor) -> tuple[list[TokenOut], int, Tensor]:
        """Let searches go on, of slices that have run.

        Args:
            slices: of the step; at least one draws, and is of a search.
            logits: (rows, vocabulary) of those that draw, in their order.

        Returns:
            The tokens of answers to searches that have ended, the beginnings that went on, and the
            rows of what is no search.
        """
        parts: list[Slice] = []
        rows: list[int] = []
        others: list[int] = []
        at = 0
        for part in slices:
            if not part.draws:
                continue
            own = range(at, at + part.num_logits)
            at = own.stop
            searched = part.sequence.request.sampling.beams
            if searched:
                parts.append(part)
            (rows if searched else others).extend(own)
        draws = [Draw(part.sequence, part.sequence.choice) for part in parts]
        count = 2 * max(part.sequence.request.sampling.beams for part in parts)
        found = self._sampler.best(logits[rows], draws, count)
        outs: list[TokenOut] = []
        for part, best in zip(parts, found, strict=True):
            width = 2 * part.sequence.request.sampling.beams
            outs += self._take(part.sequence, best[:width])
        return outs, len(parts), logits[others]

    def forget(self, request_id: int) -> None:
        """A generation has been cancelled, or refused."""
        self._groups.pop(request_id, None)

    def newest(self) -> int | None:
        """The generation, of those that have begun, that came last."""
        groups = self._groups.values()
        last = max(groups, key=lambda group: group.live[0].sequence.arrival, default=None)
        return None if last is None else last.request.id

    def _take(self, sequence: Sequence, candidates: Candidates) -> list[TokenOut]:
        """Note the likeliest next tokens of a sequence, two for each beam; go on if all are known.

        Returns the answers' tokens, once the search has ended.
        """
        request = sequence.request
        group = self._groups.get(request.id)
        if group is None:
            group = self._groups[request.id] = _Group(request, [_Beginning(sequence, [])])
        for each in group.live:
            if each.sequence is sequence:
                each.candidates = candidates
        if any(each.candidates is None for each in group.live):
            return []
        chosen = _chosen(group)
        if _has_ended(group, chosen):
            self._scheduler.remove(request.id, -1)
            del self._groups[request.id]
            return _outs(group)
        self._go_on(group, chosen)
        return []

    def _go_on(self, group: _Group, chosen: list[tuple[_Beginning, int, float]]) -> None:
        """Let the chosen ones live: each parent's first child takes its place, others fork it."""
        scheduler = self._scheduler
        parents = {id(parent): parent for parent, _, _ in chosen}
        for each in group.live:
            if id(each) not in parents:
                scheduler.finish(each.sequence)
        used = {parent.sequence.choice for parent in parents.values()}
        free = iter([at for at in range(group.request.sampling.beams) if at not in used])
        first: dict[int, tuple[_Beginning, int, float]] = {}
        live = []
        for parent, token, logprob in chosen:
            if first.setdefault(id(parent), (parent, token, logprob))[1] == token:
                continue
            sequence, pairs = scheduler.fork(parent.sequence, token, next(free))
            for source, target in pairs:
                self._runner.copy_block(source, target)
            live.append(_Beginning(sequence, [*parent.logprobs, logprob]))
        for parent, token, logprob in first.values():
            parent.sequence.append(token)
            live.append(_Beginning(parent.sequence, [*parent.logprobs, logprob]))
        for each in live:
            scheduler.policy.drew(each.sequence)
        group.live = live


def _chosen(group: _Group) -> list[tuple[_Beginning, int, float]]:
    """The beginnings that go on: parent, token, its log-probability. What ends is put aside."""
    request, beams = group.request, group.request.sampling.beams
    found = [
        (each.score + logprob, at, place, token, logprob)
        for at, each in enumerate(group.live)
        for place, (token, logprob) in enumerate(each.candidates or [])
        if logprob > _IMPOSSIBLE
    ]
    found.sort(key=lambda entry: (-entry[0], entry[1], entry[2]))
    chosen: list[tuple[_Beginning, int, float]] = []
    for rank, (_, at, _, token, logprob) in enumerate(found):
        parent = group.live[at]
        drawn = parent.sequence.num_drawn
        if token in request.stop_ids and drawn >= request.min_tokens:
            if rank < beams:
                _end(group, parent, token, logprob, "stop")
        elif drawn + 1 == request.max_tokens:
            if rank < beams:
                _end(group, parent, token, logprob, "length")
        elif len(chosen) < beams:
            chosen.append((parent, token, logprob))
    return chosen


def _end(group: _Group, parent: _Beginning, token: int, logprob: float, finish: str) -> None:
    sequence, logprobs = parent.sequence, [*parent.logprobs, logprob]
    tokens = [*sequence.tokens[len(group.request.prompt) :], token]
    score = sum(logprobs) / len(tokens) ** group.request.sampling.length_penalty
    group.ended.append(_Ended(score, tokens, logprobs, finish))
    group.ended.sort(key=lambda each: -each.score)
    del group.ended[group.request.sampling.beams :]


def _has_ended(group: _Group, chosen: list[tuple[_Beginning, int, float]]) -> bool:
    """Whether none of those that go on can be among the best any more, at their length now."""
    if not chosen:
        return True
    sampling = group.request.sampling
    if len(group.ended) < sampling.beams:
        return False
    parent, _, logprob = chosen[0]
    length = parent.sequence.num_drawn + 1
    best: float = (parent.score + logprob) / length**sampling.length_penalty
    return group.ended[-1].score >= best


def _outs(group: _Group) -> list[TokenOut]:
    """The best answers, as many as were asked for, best first."""
    outs = []
    wanted = group.request.num_logprobs >= 0
    for choice, answer in enumerate(group.ended[: group.request.num_choices]):
        for at, (token, logprob) in enumerate(zip(answer.tokens, answer.logprobs, strict=True)):
            finish = answer.finish if at == len(answer.tokens) - 1 else ""
            out = TokenOut(group.request.id, choice, token, finish)
            if wanted:
                out = msgspec.structs.replace(out, logprob=logprob, top=[])
            outs.append(out)
    return outs
