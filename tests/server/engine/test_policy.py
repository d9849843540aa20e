"""Who begins, who gives way: the scheduler without a network; each claim fails first come, first served."""

import itertools

import pytest

from llmosd.engine import policy as policies
from llmosd.engine import tenants
from llmosd.engine.block_pool import BlockPool
from llmosd.engine.pace import Work
from llmosd.engine.policy import Policy
from llmosd.engine.scheduler import Scheduler
from llmosd.errors import DeadlineUnattainable
from llmosd.ipc.messages import HIGH, LOW, NORMAL, SamplingSpec, Submit

GREEDY = SamplingSpec(0.0, 0, 1.0, 0.0, 1.0, 0.0, 0.0, 0, {})


class FirstCome(Policy):
    """The control: order of arrival is all that counts."""

    def candidates(self, running):
        return sorted(self.waiting(), key=lambda s: s.order)[:1]

    def prompt_order(self, sequence):
        return 0, 0.0, sequence.order

    def victims(self, running):
        return sorted(running, key=lambda s: s.order, reverse=True)

    def interruptible(self, waiting, running):
        return []


class Machine:
    """A scheduler, and a network that draws token 0 whatever it reads."""

    def __init__(self, kind=Policy, *, places=4, blocks=1000, step_tokens=64, weights=None):
        self.policy = kind(weights or {}, max_sequences=places)
        self.scheduler = Scheduler(
            BlockPool(blocks), self.policy,
            block_tokens=16, max_sequences=places, step_tokens=step_tokens,
        )  # fmt: skip
        self.ids = itertools.count(1)
        self.begun, self.ended, self.first = [], [], []  # ids, in order

    def submit(self, tenant="", priority=NORMAL, *, prompt=8, tokens=8, deadline=None, now=0.0):
        identifier = next(self.ids)
        prompt = [identifier] * prompt
        self.scheduler.add(
            Submit(identifier, prompt, 1, tokens, 0, [], GREEDY, -1, tenant=tenant,
                   priority=priority, deadline=deadline),
            now=now,
        )  # fmt: skip
        return identifier

    def step(self, count=1):
        for _ in range(count):
            for part in self.scheduler.schedule():
                sequence = part.sequence
                if not sequence.started:
                    sequence.started = True
                    self.begun.append(sequence.request.id)
                self.scheduler.advance(sequence, part.count)
                if part.draws:
                    if not sequence.num_drawn:
                        self.first.append(sequence.request.id)
                    sequence.append(0)
                    self.policy.drew(sequence)
                    if sequence.finish():
                        self.ended.append(sequence.request.id)
                        self.scheduler.finish(sequence)

    def run(self):
        while self.scheduler.has_work:
            self.step()

    @property
    def running(self):
        return {sequence.request.id for sequence in self.scheduler.running}


def before(order, identifier):
    return order.index(identifier)


def test_a_light_tenant_begins_soon():
    """Behind thirty of a heavy one, after what runs; first come, first served: after all thirty."""

    def place(kind):
        machine = Machine(kind)
        for _ in range(30):
            machine.submit("heavy")
        machine.step(2)
        light = machine.submit("light")
        machine.run()
        return before(machine.begun, light)

    assert place(Policy) == 4
    assert place(FirstCome) == 30


def test_a_light_tenants_prompt_is_not_behind_the_others():
    """Everything has a place, and the step's tokens are what is short."""

    def place(kind):
        machine = Machine(kind, places=32, step_tokens=64)
        for _ in range(30):
            machine.submit("heavy", prompt=200)
        machine.step(2)
        light = machine.submit("light", prompt=200)
        machine.run()
        return before(machine.first, light)

    assert place(Policy) <= 2
    assert place(FirstCome) == 30


def test_weights_are_shares_of_tokens():
    """Two to one of the tokens, although requests and their sizes are the other way round."""

    def share(kind):
        machine = Machine(kind, weights={"gold": 2.0})
        owners = {}
        for _ in range(200):
            owners[machine.submit("lead", tokens=4)] = "lead"
            owners[machine.submit("gold", tokens=16)] = "gold"
        machine.step(300)
        served = {
            s.name: s.prompt_tokens + 2 * s.generated_tokens for s in machine.policy.shares([])
        }
        return served["gold"] / served["lead"]

    assert share(Policy) == pytest.approx(2.0, rel=0.1)
    assert share(FirstCome) > 2.3  # as they come: (8 + 32) / (8 + 8)


def test_time_away_is_no_credit(monkeypatch):
    """Who comes back shares from now on, and does not take all until it has caught up."""

    def begun_of_newcomer():
        machine = Machine(places=1)
        for _ in range(30):
            machine.submit("old")
        machine.step(8 * 20)
        new = [machine.submit("new") for _ in range(10)]
        start = len(machine.begun)
        machine.step(8 * 10)
        return len(set(machine.begun[start:]) & set(new))

    assert 4 <= begun_of_newcomer() <= 6
    with monkeypatch.context() as patch:  # the control: counters as they are
        raw = tenants.Tenants._get
        patch.setattr(tenants.Tenants, "counter", lambda self, n, p: raw(self, n).counters[p])
        assert begun_of_newcomer() == 10


def test_leaving_and_coming_back_is_no_credit():
    """A tenant alone is no worse off for it, and one that was away while nobody else was there no
    better."""
    machine = Machine(places=1)
    machine.submit("old", tokens=100)
    machine.run()
    new = [machine.submit("new") for _ in range(5)]
    old = [machine.submit("old") for _ in range(5)]
    machine.run()
    order = [identifier in new for identifier in machine.begun[1:]]
    assert 2 <= sum(order[:5]) <= 3
    assert set(machine.begun[1:]) == {*new, *old}


def test_high_takes_the_place_of_low():
    """At once, of the one that came last; what was interrupted goes on and loses nothing."""

    def run(kind, priority):
        machine = Machine(kind, places=2)
        low = [machine.submit(priority=LOW, tokens=50) for _ in range(2)]
        machine.step(5)
        urgent = machine.submit(priority=priority)
        machine.step()
        running = machine.running
        machine.run()
        assert sorted(machine.ended) == [*low, urgent]
        return (
            running == {low[0], urgent},
            machine.ended[0] == urgent,
            machine.scheduler.preemptions,
        )

    assert run(Policy, HIGH) == run(Policy, NORMAL) == (True, True, 1)
    assert run(Policy, LOW) == (False, False, 0)
    assert run(FirstCome, HIGH) == (False, False, 0)


def test_equals_do_not_interrupt_each_other():
    machine = Machine(places=1)
    machine.submit("one", HIGH, tokens=50)
    machine.step(5)
    machine.submit("two", HIGH)
    machine.step(5)
    assert (machine.running, machine.scheduler.preemptions) == ({1}, 0)


def test_room_is_made_only_where_it_is_enough():
    """A high one that would not fit even then interrupts nobody."""
    machine = Machine(places=4, blocks=20)
    normal = machine.submit(priority=HIGH, prompt=150, tokens=20)
    low = machine.submit(priority=LOW, prompt=60, tokens=90)
    machine.step(5)
    large = machine.submit(priority=HIGH, prompt=200, tokens=10)
    machine.step(2)
    assert machine.running == {normal, low}
    assert machine.scheduler.preemptions == 0
    machine.scheduler.remove(large, -1)
    small = machine.submit(priority=HIGH, prompt=140, tokens=10)
    machine.step()
    assert machine.running == {normal, small}


@pytest.mark.parametrize("kind", [Policy, FirstCome])
def test_when_blocks_run_out_the_lowest_gives_way(kind):
    """Of the lowest class, then the one that came last; the control takes the last one, whatever."""
    machine = Machine(kind, places=4, blocks=12)
    low, first, second = (
        machine.submit(priority=each, prompt=40, tokens=100) for each in (LOW, HIGH, HIGH)
    )
    while not machine.scheduler.preemptions:
        machine.step()
    assert machine.running == ({first, second} if kind is Policy else {low, first})
    machine.run()
    assert sorted(machine.ended) == [low, first, second]


def test_low_moves_under_a_flood(monkeypatch):
    """One in eight that begin is a lower one, and is not interrupted; without the turn none is."""

    def begun_low():
        machine = Machine(places=2)
        low = {machine.submit("batch", LOW) for _ in range(10)}
        for _ in range(300):
            while machine.policy.num_waiting < 15:
                machine.submit("web", HIGH)
            machine.step()
        assert machine.scheduler.preemptions <= 2  # at the start, when nothing else was there
        return len(set(machine.begun) & low) / len(machine.begun)

    assert begun_low() == pytest.approx(1 / 8, abs=0.04)
    monkeypatch.setattr(policies, "_TURN", 10**9)
    assert begun_low() < 0.04


def test_what_is_due_and_does_not_fit_is_waited_for():
    """Small ones go before a large low one for a while, and then no longer."""
    machine = Machine(places=4, blocks=40)
    for _ in range(4):
        machine.submit("web", HIGH, prompt=100, tokens=20)
    machine.step(3)
    large = machine.submit("batch", LOW, prompt=500, tokens=100)
    for _ in range(2000):
        if large in machine.begun:
            break
        while machine.policy.num_waiting < 9:
            machine.submit("web", HIGH, prompt=100, tokens=20)
        machine.step()
    assert large in machine.begun
    assert before(machine.begun, large) > policies._OVERDUE


def test_within_a_tenant_the_first_is_first():
    """Not the one whose deadline is nearest."""
    machine = Machine(places=1)
    submitted = [machine.submit(deadline=at) for at in (None, 900.0, 5.0, 100.0)]
    machine.run()
    assert machine.begun == submitted


def test_what_waits_past_its_deadline_is_dropped():
    machine = Machine(places=1)
    running = machine.submit(tokens=50, deadline=5.0)
    late = machine.submit(deadline=10.0)
    in_time = machine.submit(deadline=20.0)
    machine.step()
    assert machine.scheduler.drop_late(9.0) == []
    assert machine.scheduler.drop_late(10.0) == [late]
    machine.run()
    assert machine.ended == [running, in_time]
    assert machine.scheduler.forecast.late == 1


class Measured(Machine):
    """10 ms for a token of a prompt, 100 ms for the next token of an answer; 20 tokens a piece."""

    def __init__(self, **more):
        super().__init__(**more)
        pace = self.scheduler.forecast.pace
        pace.learn_step(Work(100, 1, 0), drawn=1, seconds=1.0)
        pace.learn_step(Work(0, 0, 2), drawn=2, seconds=0.1)
        pace.answer_share = 1.0


def test_nothing_is_refused_before_anything_was_measured():
    machine = Machine(places=1)
    for _ in range(100):
        machine.submit(tokens=100, deadline=0.001)
    with pytest.raises(DeadlineUnattainable):
        Measured().submit(prompt=100, deadline=0.001)


def test_what_cannot_begin_in_time_is_refused():
    """By its own prompt, by prompts before it, by answers that have the places."""
    machine = Measured(places=2)
    with pytest.raises(DeadlineUnattainable) as caught:
        machine.submit(prompt=100, deadline=100.5, now=100.0)
    assert caught.value.metadata == {"estimate_seconds": "1.000", "deadline_seconds": "0.500"}
    assert not machine.scheduler.has_work
    for _ in range(2):
        machine.submit(prompt=10, tokens=20)
    with pytest.raises(DeadlineUnattainable):  # 2 x 10 and 10 of prompts, half of 20 of an answer
        machine.submit(prompt=10, deadline=1.25)
    machine.submit(prompt=10, deadline=1.35)
    assert machine.scheduler.forecast.late == 2


def test_only_what_goes_before_it_counts():
    """Not what waits in lower classes, nor what a tenant with more waits for."""
    machine = Measured(places=1)
    machine.submit("heavy", tokens=20)
    for _ in range(20):
        machine.submit("heavy", tokens=20)
    machine.step(8)
    with pytest.raises(DeadlineUnattainable):
        machine.submit("heavy", deadline=6.0)
    machine.submit("light", deadline=6.0)
    machine.submit("heavy", HIGH, deadline=1.0)
    with pytest.raises(DeadlineUnattainable):
        machine.submit("heavy", LOW, deadline=6.0)


def test_accounts_are_bounded():
    machine = Machine()
    for at in range(1000):
        machine.submit(f"tenant-{at}", tokens=1)
        machine.run()
    assert len(machine.policy.shares([])) <= 2 * tenants._MOST_IDLE + 1
