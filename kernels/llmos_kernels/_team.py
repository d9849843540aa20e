"""Threads that walk through one step together: shares of a phase's work, and barriers between.

One parallel region per step, instead of one per operation: entering a region costs microseconds
and there would be two hundred. A thread that comes late finds less left to claim.

The state is one int64 array, zeroed before the region: see `team_state`. Which thread runs what
differs from run to run; kernels must give the same bits whoever runs a share.

A thread's walk is a kernel of its own, called from the parallel loop: in a parallel loop's own
body, inlined helpers included, numba computes but once what looks the same in every round, and
`begin_phase` looks so.
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from llmos_kernels._jit import inlined

_LINE = 8  # int64 slots of a cache line
_ARRIVED, _WAITED, _THREADS = 0, _LINE, 2 * _LINE
_PASSED, _PHASE = 0, 1  # of a thread's own line
_SPINS = 4000  # about 50 us; then the processor is offered to whoever needs it


class Team(NamedTuple):
    """What a thread knows: the shared state, its own number, and how many there are."""

    state: NDArray[np.int64]
    thread: int
    threads: int


def team_state(threads: int, phases: int) -> NDArray[np.int64]:
    """State for a step of up to `phases` phases; zero it before each step."""
    return np.zeros(_THREADS + threads * _LINE + phases, np.int64)


def waited(state: NDArray[np.int64]) -> int:
    """How often a thread gave up its processor at a barrier of the last step."""
    return int(state[_WAITED])


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
def _yield_processor(_context: Any) -> Any:

    def codegen(_target: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(32), [])
        function = cgutils.get_or_insert_function(builder.module, kind, "sched_yield")
        return builder.call(function, [])

    return types.int32(), codegen


_add: Any = _atomic_add
_load: Any = _atomic_load
_yield: Any = _yield_processor


@inlined
def barrier(team: Any) -> None:
    """Wait until all threads are here."""
    state, own = team.state, _THREADS + team.thread * _LINE
    if team.threads > 1:
        state[own + _PASSED] += 1
        target = team.threads * state[own + _PASSED]
        _add(state, np.int64(_ARRIVED), np.int64(1))
        spins = 0
        while _load(state, np.int64(_ARRIVED)) < target:
            spins += 1
            if spins > _SPINS:
                _add(state, np.int64(_WAITED), np.int64(1))
                _yield()


@inlined
def begin_phase(team: Any) -> Any:
    """The next phase's number for `claim`; all threads begin the same phases in the same order."""
    own = _THREADS + team.thread * _LINE + _PHASE
    team.state[own] += 1
    return _THREADS + team.threads * _LINE + team.state[own] - 1


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
