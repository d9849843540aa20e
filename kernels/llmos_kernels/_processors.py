"""Where a team's threads run: each on a processor of its own, where there are enough.

A thread that is woken should go to an idle processor, and Linux looks for one; but in a virtual
machine a processor that has been idle for a while looks taken (`vcpu_is_preempted`), and the thread
goes to its waker's. Two threads there take turns, at every barrier, and neither looks as if it
waited: some 30 ms pass until Linux moves one. So a thread that finds itself with another one moves
by itself, and stays off the other's processor until the step has ended: moving takes some 0.3 ms,
and the next time it sleeps it would be woken there again.
"""

import sys
from typing import Any

import numpy as np
from numba import types

from llmos_kernels._jit import address, kernel

_LINUX = sys.platform == "linux"
MASK_WORDS = 16  # of 64 processors
_SIZE = np.int64(8 * MASK_WORDS)


def _function(name: str, *kinds: Any) -> Any:
    """A function of libc that returns an int."""
    return types.ExternalFunction(name, types.int32(*kinds))


_current = _function("sched_getcpu")
_get = _function("sched_getaffinity", types.int32, types.int64, types.int64)
_set = _function("sched_setaffinity", types.int32, types.int64, types.int64)


@kernel
def _current_processor() -> Any:
    return np.int64(_current())


@kernel
def _read_allowed(allowed: Any) -> None:
    _get(np.int32(0), _SIZE, address(allowed, 0))


@kernel
def _move_off(allowed: Any, taken: Any) -> None:
    free, some = np.empty(MASK_WORDS, np.uint64), False
    for word in range(MASK_WORDS):
        free[word] = allowed[word] & ~taken[word]
        some = some or free[word] != 0
    if some:
        _set(np.int32(0), _SIZE, address(free, 0))


@kernel
def _allow(allowed: Any) -> None:
    _set(np.int32(0), _SIZE, address(allowed, 0))


@kernel
def _nowhere() -> Any:
    return np.int64(-1)


@kernel
def _nothing(_allowed: Any) -> None:
    pass


@kernel
def _stay(_allowed: Any, _taken: Any) -> None:
    pass


current_processor: Any = _current_processor if _LINUX else _nowhere
"""The number of the processor this thread is on; -1 where that cannot be told."""

read_allowed: Any = _read_allowed if _LINUX else _nothing
"""read_allowed(mask): where this thread may be: (MASK_WORDS,) uint64, a bit for each processor."""

move_off: Any = _move_off if _LINUX else _stay
"""move_off(allowed, taken): stay off processors that are taken, if any other is allowed."""

allow: Any = _allow if _LINUX else _nothing
"""allow(mask): be free to go anywhere again."""
