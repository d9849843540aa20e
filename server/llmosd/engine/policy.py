"""Who is next: class, then tenant by service received, then order of arrival.

Within a tenant's class it is first come, first served, not earliest deadline first: what was
accepted on an estimate is then never made late by who comes after it. One in eight that begin may
be of a lower class than the highest that waits, so that every class moves.
"""

import itertools
import math
from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from llmosd.engine.sequence import Sequence
from llmosd.engine.tenants import Tenants
from llmosd.ipc.messages import HIGH, LOW, TenantShare

# How many begin before one of a lower class is due.
_TURN = 7
# When a lower one has been due for so long, nobody else begins until it does.
_OVERDUE = 64
_CLASSES = range(HIGH, LOW - 1, -1)

Queues = dict[str, list[Sequence]]  # by tenant, each in order of arrival


class Policy:
    """The waiting sequences, and in which order they run."""

    def __init__(self, weights: Mapping[str, float], *, max_sequences: int) -> None:
        """`weights` are the tenants' shares that are not 1."""
        self._weights = weights
        self._tenants = Tenants(weights)
        self._queues: list[Queues] = [{} for _ in _CLASSES]
        self._most_kept = max(1, max_sequences // (_TURN + 1))
        self._passed_over = 0
        self._next_deadline = math.inf
        self._arrivals = itertools.count(1)
        self.num_waiting = 0

    @property
    def generated_tokens(self) -> int:
        """Drawn for everybody."""
        return self._tenants.generated_tokens

    def set_weights(self, weights: Mapping[str, float]) -> None:
        """Share by these from now on."""
        self._weights = weights
        self._tenants.set_weights(weights)

    def waiting(self) -> Iterator[Sequence]:
        """Everything that waits."""
        for queues in self._queues:
            for queue in queues.values():
                yield from queue

    def enter(self, sequence: Sequence, leader: Sequence | None = None) -> None:
        """Note a new sequence; one that was forked has the place of its leader."""
        sequence.arrival = leader.arrival if leader else next(self._arrivals)
        sequence.charged = len(leader.request.prompt) if leader else 0
        sequence.kept = leader is not None and leader.kept
        self._tenants.enter(sequence.request.tenant, sequence.request.priority)

    def leave(self, sequence: Sequence) -> None:
        """Note that a sequence is over, wherever it was."""
        self._tenants.leave(sequence.request.tenant, sequence.request.priority)

    def put(self, sequence: Sequence) -> None:
        """Let a sequence wait; one that ran before stands where it stood."""
        queue = self._queues[sequence.request.priority].setdefault(sequence.request.tenant, [])
        insort(queue, sequence, key=lambda each: each.order)
        sequence.kept = False
        self._next_deadline = min(self._next_deadline, _deadline(sequence))
        self.num_waiting += 1

    def drop(self, meant: Callable[[Sequence], bool]) -> list[Sequence]:
        """Take out and return the waiting sequences that are meant."""
        dropped = [sequence for sequence in self.waiting() if meant(sequence)]
        for sequence in dropped:
            self._take_out(sequence)
        return dropped

    def late(self, now: float) -> list[Sequence]:
        """Take out and return the waiting sequences whose deadline has passed."""
        if now < self._next_deadline:
            return []
        dropped = self.drop(lambda sequence: _deadline(sequence) <= now)
        self._next_deadline = min(map(_deadline, self.waiting()), default=math.inf)
        return dropped

    def candidates(self, running: list[Sequence]) -> list[Sequence]:
        """Who may begin beside those that run; the second only where the first does not fit."""
        classes = [each for each in _CLASSES if self._queues[each]]
        if not classes:
            return []
        regular = self._first(classes[0])
        if len(classes) == 1 or self._passed_over < _TURN:
            return [regular]
        if sum(sequence.kept for sequence in running) >= self._most_kept:
            return [regular]
        due = min(map(self._first, classes[1:]), key=lambda each: each.arrival)
        return [due] if self._passed_over >= _OVERDUE else [due, regular]

    def begin(self, sequence: Sequence) -> None:
        """Take a candidate out, to run, and charge its tenant for what is to be computed."""
        self._take_out(sequence)
        priority, waiting = sequence.request.priority, [p for p in _CLASSES if self._queues[p]]
        if waiting and priority < waiting[0]:
            sequence.kept = True
            self._passed_over = 0
        elif any(other < priority for other in waiting):
            self._passed_over += 1
        else:
            self._passed_over = 0
        fresh = len(sequence.tokens) - max(sequence.computed, sequence.charged)
        if fresh > 0:
            self._tenants.charge_prompt(sequence.request.tenant, priority, fresh)
        sequence.charged = len(sequence.tokens)

    def drew(self, sequence: Sequence) -> None:
        """Charge for a token that a sequence drew."""
        sequence.charged = len(sequence.tokens)
        self._tenants.charge_drawn(sequence.request.tenant, sequence.request.priority)

    def prompt_order(self, sequence: Sequence) -> tuple[int, float, tuple[int, int]]:
        """Sort key of running sequences for what is left of a step's tokens."""
        request = sequence.request
        counter = self._tenants.counter(request.tenant, request.priority)
        return -sequence.standing, counter, sequence.order

    def victims(self, running: list[Sequence]) -> list[Sequence]:
        """Running sequences, those that give way first at the front: low ones, late ones."""
        return sorted(running, key=lambda s: (-s.standing, s.order), reverse=True)

    def interruptible(self, waiting: Sequence, running: list[Sequence]) -> list[Sequence]:
        """Running sequences whose places and blocks one that waits may have."""
        return [s for s in running if s.standing < waiting.request.priority]

    def ahead(self, newcomer: Sequence, drawn: Callable[[Sequence], float]) -> list[Sequence]:
        """Who of the waiting would begin before a newcomer, as far as can be told now.

        `drawn` guesses how many tokens a sequence will draw.
        """
        own, tenant = newcomer.request.priority, newcomer.request.tenant
        found = [s for p in _CLASSES if p > own for q in self._queues[p].values() for s in q]
        queues = {name: list(queue) for name, queue in self._queues[own].items()}
        queues.setdefault(tenant, []).append(newcomer)
        counters = {name: self._tenants.counter(name, own) for name in queues}
        while True:
            name = min(queues, key=lambda each: (counters[each], queues[each][0].order))
            sequence = queues[name].pop(0)
            if sequence is newcomer:
                return found
            found.append(sequence)
            counters[name] += self._tenants.cost(name, sequence.num_pending, drawn(sequence))
            if not queues[name]:
                del queues[name]

    def shares(self, running: list[Sequence]) -> list[TenantShare]:
        """Every tenant's part of the engine."""
        return self._tenants.shares(
            Counter(sequence.request.tenant for sequence in running),
            Counter(sequence.request.tenant for sequence in self.waiting()),
        )

    def forget(self) -> None:
        """Begin the accounts anew; nothing may be waiting or running."""
        self._tenants = Tenants(self._weights)

    def _first(self, priority: int) -> Sequence:
        """The first of the tenant that got least."""
        heads = (queue[0] for queue in self._queues[priority].values())
        counter = self._tenants.counter
        return min(heads, key=lambda s: (counter(s.request.tenant, priority), s.order))

    def _take_out(self, sequence: Sequence) -> None:
        queues, tenant = self._queues[sequence.request.priority], sequence.request.tenant
        queues[tenant].remove(sequence)
        if not queues[tenant]:
            del queues[tenant]
        self.num_waiting -= 1


def _deadline(sequence: Sequence) -> float:
    deadline = sequence.request.deadline
    return math.inf if deadline is None else deadline
