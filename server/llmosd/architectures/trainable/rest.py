"""Places inside a step where a process can rest: a step may take seconds, and others wait.

One for the whole process: whoever trains says what happens there, and networks and losses call it
between pieces of some tens of milliseconds. It changes no number.
"""

from collections.abc import Callable

from torch import Tensor

_rest: Callable[[], None] | None = None


def set_rest(rest: Callable[[], None] | None) -> None:
    """Say what happens at every place; None: nothing."""
    global _rest  # noqa: PLW0603 - of the process, as it is
    _rest = rest


def here(x: Tensor | None = None) -> None:
    """Such a place; with `x`, also where the backward pass comes by its gradient."""
    if _rest is None:
        return
    _rest()
    if x is not None and x.requires_grad:
        x.register_hook(_backward)


def _backward(_gradient: Tensor) -> None:
    if _rest is not None:
        _rest()
