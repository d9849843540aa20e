"""Threads that walk through one step together: shares of a phase's work, and barriers between.

One parallel region per step, instead of one per operation: entering a region costs microseconds
and there would be two hundred. A thread that comes late finds less left to claim.

Who waits at a barrier spins for a moment and then sleeps (futex): when another process takes a
thread's processor, the sleeper's becomes free, and the scheduler moves the thread there. A waiting
thread that spins on, or only yields, looks busy, and the step stands still until the other
process's time slice is over.

The state is one int64 array, zeroed before the region: see `team_state`. Which thread runs what
differs from run to run; kernels must give the same bits whoever runs a share.

A thread's walk is a kernel of its own, called from the parallel loop: in a parallel loop's own
body, inlined helpers included, numba computes but once what looks the same in every round, and
`begin_phase` looks so.
"""

import platform
import sys
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from llmos_kernels._jit import borrowed, inlined, kernel, parallel_kernel
from llmos_kernels._processors import MASK_WORDS, allow, current_processor, move_off, read_allowed

_LINE = 8  # int64 slots of a cache line
_ARRIVED, _ASLEEP, _THREADS = 0, _LINE, 2 * _LINE
# Of a thread's own line; its processor counts from 1.
_PASSED, _PHASE, _ALONE, _PROCESSOR, _MOVED = 0, 1, 2, 3, 4
_SPINS = 2000  # some 30 us, longer than the others need when they run
_PATIENCE = 50_000_000
# Linux's number for futex(2), by machine; elsewhere waiting threads yield.
_FUTEX = {"x86_64": 202, "aarch64": 98}.get(platform.machine(), 0) if sys.platform == "linux" else 0
_WAIT_PRIVATE, _WAKE_PRIVATE, _ALL = 128, 129, 2**31 - 1


class Team(NamedTuple):
    """What a thread knows: the shared state, its own number, how many there are, where it may run.

    The number must be an int64: in a `prange` it is unsigned in one of the two times that numba
    looks at the loop, and everything below would be compiled twice.
    """

    state: NDArray[np.int64]
    thread: np.int64
    threads: int
    allowed: NDArray[np.uint64]


def team_state(threads: int, phases: int) -> NDArray[np.int64]:
    """State for a step of up to `phases` phases; zero it before each step."""
    return np.zeros(_THREADS + threads * _LINE + phases, np.int64)


def _pointer(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    struct = cgutils.create_struct_proxy(signature.args[0])(context, builder, arguments[0])
    return builder.gep(struct.data, [arguments[1]])


@intrinsic
def _atomic_add(_context: Any, array: Any, _index: Any, _value: Any) -> Any:
    """Add to an element; returns what was there before."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature, arguments)
        return builder.atomic_rmw("add", pointer, arguments[2], "seq_cst")

    return types.int64(array, types.int64, types.int64), codegen


@intrinsic
def _atomic_load(_context: Any, array: Any, _index: Any) -> Any:

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature, arguments)
        return builder.load_atomic(pointer, "seq_cst", 8)

    return types.int64(array, types.int64), codegen


@intrinsic
def _relax_processor(_context: Any) -> Any:
    """PAUSE: leave the core to the other thread of its pair, if it has one."""

    def codegen(_target: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        if platform.machine() == "x86_64":
            kind = ir.FunctionType(ir.VoidType(), [])
            name = "llvm.x86.sse2.pause"
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])
        return ir.Constant(ir.IntType(64), 0)

    return types.int64(), codegen


@intrinsic
def _futex_call(_context: Any, array: Any, _index: Any, _operation: Any, _value: Any) -> Any:
    """futex(&array[index], operation, value), on the element's lower half; else sched_yield()."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        if not _FUTEX:
            kind = ir.FunctionType(ir.IntType(32), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])
            return word(0)
        address = builder.ptrtoint(_pointer(context, builder, signature, arguments), word)
        kind = ir.FunctionType(word, [word], var_arg=True)
        function = cgutils.get_or_insert_function(builder.module, kind, "syscall")
        rest = [address, *arguments[2:], word(0), word(0), word(0)]
        return builder.call(function, [word(_FUTEX), *rest])

    return types.int64(array, types.int64, types.int64, types.int64), codegen


_add: Any = _atomic_add
_load: Any = _atomic_load
_relax: Any = _relax_processor
_futex: Any = _futex_call


@kernel
def barrier(team: Any) -> None:
    """Wait until all threads are here."""
    state, own = team.state, _THREADS + team.thread * _LINE
    if team.threads > 1:
        state[own + _PASSED] += 1
        target = team.threads * state[own + _PASSED]
        if _add(state, np.int64(_ARRIVED), np.int64(1)) + 1 < target:
            if _wait(state, target):
                _spread(team)
        elif _load(state, np.int64(_ASLEEP)) > 0:
            _futex(state, np.int64(_ARRIVED), np.int64(_WAKE_PRIVATE), np.int64(_ALL))


@kernel
def _wait(state: Any, target: Any) -> Any:
    """Until `target` threads have arrived; whether this one slept."""
    for _ in range(_SPINS):
        if _load(state, np.int64(_ARRIVED)) >= target:
            return False
        _relax()
    # The last to arrive adds itself before it looks for sleepers; a sleeper is counted before it
    # looks for the last to arrive, and the kernel looks once more: one of them sees the other.
    _add(state, np.int64(_ASLEEP), np.int64(1))
    while True:
        arrived = _load(state, np.int64(_ARRIVED))
        if arrived >= target:
            break
        _futex(state, np.int64(_ARRIVED), np.int64(_WAIT_PRIVATE), arrived)
    _add(state, np.int64(_ASLEEP), np.int64(-1))
    return True


@inlined
def places() -> Any:
    """A mask of processors, for `join` and `leave`."""
    return np.zeros(MASK_WORDS, np.uint64)


@inlined
def join(state: Any, thread: Any, threads: Any, allowed: Any) -> Any:
    """The team, for a thread that begins; `leave` must follow. `allowed`: from `places`."""
    read_allowed(allowed)
    team = Team(state, thread, threads, borrowed(allowed))
    if threads > 1:
        _spread(team)
    return team


@inlined
def leave(team: Any, allowed: Any) -> None:
    """What a thread does at its end; `allowed` as it was given to `join`."""
    if team.state[_THREADS + team.thread * _LINE + _MOVED] > 0:
        allow(allowed)


@inlined
def alone(team: Any) -> Any:
    """A team of one thread, whose phases are its own, and whose barriers are passed at once."""
    return Team(team.state, team.thread, 1, team.allowed)


@kernel
def _spread(team: Any) -> None:
    """Leave this processor if another thread of the team is on it; see _processors.

    Threads do so when they begin, and when they have slept.
    """
    own = _THREADS + team.thread * _LINE
    here = current_processor() + 1
    team.state[own + _PROCESSOR] = here
    taken, met = np.zeros(MASK_WORDS, np.uint64), False
    for other in range(team.threads):
        place = team.state[_THREADS + other * _LINE + _PROCESSOR]
        if other != team.thread and place > 0:
            met = met or place == here
            taken[(place - 1) // 64 % MASK_WORDS] |= np.uint64(1) << np.uint64((place - 1) % 64)
    if met:
        move_off(team.allowed, taken)
        team.state[own + _MOVED] = 1
        team.state[own + _PROCESSOR] = current_processor() + 1


def all_run(threads: int) -> bool:
    """Whether a parallel loop of `threads` rounds really runs them at the same time.

    Where OpenMP was told to give fewer threads, one would wait at the first barrier for a round
    that begins after its own: for ever.
    """
    state = team_state(threads, 0)
    _meet_all(state, threads)
    return bool(state[_ASLEEP] == 0)


@parallel_kernel
def _meet_all(state: Any, threads: Any) -> None:
    for _ in prange(threads):
        _meet(state, threads)


@kernel
def _meet(state: Any, threads: Any) -> None:
    """Wait a second for the others; count oneself as asleep where they do not come."""
    _add(state, np.int64(_ARRIVED), np.int64(1))
    for _ in range(_PATIENCE):
        if _load(state, np.int64(_ARRIVED)) >= threads:
            return
        _relax()
    _add(state, np.int64(_ASLEEP), np.int64(1))


@inlined
def begin_phase(team: Any) -> Any:
    """The next phase's number for `claim`; all threads begin the same phases in the same order."""
    own = _THREADS + team.thread * _LINE
    if team.threads == 1:
        team.state[own + _ALONE] = 0
        return own + _ALONE
    team.state[own + _PHASE] += 1
    return _THREADS + team.threads * _LINE + team.state[own + _PHASE] - 1


@inlined
def claim(team: Any, phase: Any, total: Any) -> Any:
    """Take the next share [start, end) of a phase's `total` pieces; empty when none is left.

    The first share of each thread is large and of equal size, the rest single pieces: few claims,
    and yet nobody waits long at the end.
    """
    threads = np.int64(team.threads)
    large = np.int64(total) * 3 // (4 * threads) if threads > 1 else np.int64(total)
    index = _add(team.state, np.int64(phase), np.int64(1))
    start, size = index, np.int64(1)
    if large > 0 and index < threads:
        start, size = index * large, large
    elif large > 0:
        start = threads * large + index - threads
    return min(start, np.int64(total)), min(start + size, np.int64(total))
