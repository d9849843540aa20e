"""Threads in one step: every piece of work is done once, and nobody passes a barrier early."""

import os

import numba
import numpy as np
import pytest
from numba import prange

from llmos_kernels._jit import kernel, parallel_kernel
from llmos_kernels._processors import current_processor
from llmos_kernels._team import (
    _PROCESSOR,
    _THREADS,
    _load,
    _relax,
    all_run,
    alone,
    barrier,
    begin_phase,
    claim,
    join,
    leave,
    places,
    team_state,
)

PHASES = 50
MOMENT, SECONDS = 1_000, 50_000_000  # spins: some 30 us; a thread without a processor comes back


@kernel
def linger(early, spins):
    """Keep a share until another thread has gone on without it, or for so many spins."""
    for _ in range(spins):
        if _load(early, np.int64(1)) > 0:
            return
        _relax()


@kernel
def walk(state, thread, threads, done, early, waits, spins):
    """In each phase, count every piece; a piece counts as early if the last phase is unfinished.

    The first thread is slow: it sits on each phase's first share for a while.
    """
    allowed = places()
    team = join(state, thread, threads, allowed)
    for phase in range(done.shape[0]):
        number = begin_phase(team)
        start, end = claim(team, number, done.shape[1])
        if team.thread == 0 and team.threads > 1 and start < end:
            linger(early, spins)
        while start < end:
            for piece in range(start, end):
                done[phase, piece] += 1
                if phase > 0:
                    for other in range(done.shape[1]):
                        early[team.thread] += done[phase - 1, other] != 1
            start, end = claim(team, number, done.shape[1])
        if waits:
            barrier(team)
    leave(team, allowed)


@parallel_kernel
def all_walk(state, threads, done, early, waits, spins):
    for thread in prange(threads):
        walk(state, np.int64(thread), threads, done, early, waits, spins)


def run(threads, pieces, waits, spins):
    """How often each piece was done, and how many were seen unfinished by the next phase."""
    state = team_state(threads, PHASES)
    done, early = np.zeros((PHASES, pieces), np.int64), np.zeros(threads, np.int64)
    all_walk(state, threads, done, early, waits, spins)
    return done, early.sum()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("pieces", [1, 2, 3, 7, 8, 100])
def test_shares(threads, pieces):
    """Nothing is left out, done twice, or begun before what it needs."""
    for _ in range(20):
        done, early = run(threads, pieces, waits=True, spins=MOMENT)
        assert (done == 1).all()
        assert early == 0


def test_without_barrier_it_fails():
    """The control: the same walk without its barrier is found out.

    More than one run only because the slow thread may come so late that no share is left for it.
    """
    assert any(run(2, 100, waits=False, spins=SECONDS)[1] for _ in range(500))


@kernel
def walk_alone(state, thread, threads, done, waits):
    """Each claims its own share of rows, and goes through phases over them by itself."""
    allowed = places()
    team = join(state, thread, threads, allowed)
    single = alone(team) if waits else team
    number = begin_phase(team)
    while True:
        start, end = claim(team, number, done.shape[1])
        if start >= end:
            break
        for phase in range(done.shape[0]):
            inner = begin_phase(single)
            first, last = claim(single, inner, end - start)
            while first < last:
                for row in range(start + first, start + last):
                    done[phase, row] += 1
                first, last = claim(single, inner, end - start)
            barrier(single)
    leave(team, allowed)


@parallel_kernel
def all_walk_alone(state, threads, done, waits):
    for thread in prange(threads):
        walk_alone(state, np.int64(thread), threads, done, waits)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("rows", [1, 2, 7, 100])
def test_a_team_of_one_within_a_team(threads, rows):
    """Its phases are its own: every row is done once in each, and no barrier waits for others."""
    for _ in range(20):
        done = np.zeros((PHASES, rows), np.int64)
        all_walk_alone(team_state(threads, 1), threads, done, True)
        assert (done == 1).all()


@kernel
def meet(state, restore):
    """Begin as the second of two threads: where it was before, and then."""
    allowed, before = places(), current_processor()
    team = join(state, np.int64(1), 2, allowed)
    after = current_processor()
    if restore:
        leave(team, allowed)
    return before, after


@pytest.fixture
def affinity():
    before = os.sched_getaffinity(0)
    if len(before) < 2:
        pytest.skip("needs two processors, and may run on one")
    yield before
    os.sched_setaffinity(0, before)


def state_where_first_is_on(processor):
    state = team_state(2, 1)
    state[_THREADS + _PROCESSOR] = processor + 1
    return state


def test_two_threads_do_not_share_a_processor(affinity):
    """The second goes elsewhere, and is free again at the end; the control is another's place."""
    here = min(affinity)
    for other, left in ((here, affinity - {here}), (here + 1000, affinity)):
        for restore, then in ((False, left), (True, affinity)):
            for _ in range(1000):  # until it still is where it was put, though it need not be
                os.sched_setaffinity(0, {here})
                os.sched_setaffinity(0, affinity)
                before, after = meet(state_where_first_is_on(other), restore)
                if before == here:
                    break
            assert os.sched_getaffinity(0) == then
            assert other != here or restore or after != here


def test_where_a_thread_may_not_go_it_stays(affinity):
    """Of a process that was given one processor."""
    here = min(affinity)
    os.sched_setaffinity(0, {here})
    assert meet(state_where_first_is_on(here), False) == (here, here)
    assert os.sched_getaffinity(0) == {here}


def test_fewer_threads_than_asked_are_found_out():
    """With one thread, two rounds run one after the other: a barrier would never be passed."""
    assert all_run(1)
    assert all_run(2)
    numba.set_num_threads(1)
    try:
        assert not all_run(2)
    finally:
        numba.set_num_threads(2)
