"""Threads in one step: every piece of work is done once, and nobody passes a barrier early."""

import numba
import numpy as np
import pytest
from numba import prange

from llmos_kernels._jit import kernel, parallel_kernel
from llmos_kernels._team import (
    Team,
    _load,
    _relax,
    all_run,
    barrier,
    begin_phase,
    claim,
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
def walk(team, done, early, waits, spins):
    """In each phase, count every piece; a piece counts as early if the last phase is unfinished.

    The first thread is slow: it sits on each phase's first share for a while.
    """
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


@parallel_kernel
def all_walk(state, threads, done, early, waits, spins):
    for thread in prange(threads):
        walk(Team(state, np.int64(thread), threads), done, early, waits, spins)


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


def test_fewer_threads_than_asked_are_found_out():
    """With one thread, two rounds run one after the other: a barrier would never be passed."""
    assert all_run(1)
    assert all_run(2)
    numba.set_num_threads(1)
    try:
        assert not all_run(2)
    finally:
        numba.set_num_threads(2)
