"""What the first start of an engine waits for: kernels being compiled."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import event

_COMPILE = "numba:compile"


class _Listener(event.Listener):
    def __init__(self, report: Callable[[str, int, int], None]) -> None:
        self._report = report
        self._count = 0

    def on_start(self, _event: Any) -> None:
        self._count += 1
        self._report("compiling kernels", self._count, 0)

    def on_end(self, _event: Any) -> None:
        pass


@contextmanager
def compilation_reported(report: Callable[[str, int, int], None]) -> Iterator[None]:
    """Report each function that numba compiles; those that it finds in its cache are no news."""
    listener = _Listener(report)
    event.register(_COMPILE, listener)
    try:
        yield
    finally:
        event.unregister(_COMPILE, listener)
