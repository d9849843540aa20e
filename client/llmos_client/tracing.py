"""W3C trace context: calls that are made inside it are part of the caller's trace.

with trace_context("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"):
    client.generate("smollm2", "Once upon a time")
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from llmos_client.errors import InvalidFieldError

_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_STATE = re.compile(r"[\x20-\x7e]{0,512}")
_current: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("trace context", default=())


@contextmanager
def trace_context(traceparent: str, tracestate: str = "") -> Iterator[None]:
    """Send these headers with every call that this thread, or task, makes in the block.

    The daemon's log then has the trace's id, and its spans are children of the caller's.

    Raises:
        InvalidFieldError: it is none of https://www.w3.org/TR/trace-context/.
    """
    if not _FORM.fullmatch(traceparent):
        raise InvalidFieldError(
            f"traceparent: {traceparent!r} is not VERSION-TRACE-PARENT-FLAGS in lower-case "
            "hexadecimal, as W3C trace context has it",
            code="INVALID_ARGUMENT",
        )
    if not _STATE.fullmatch(tracestate):
        raise InvalidFieldError(
            "tracestate: must be 512 printable ASCII characters at most", code="INVALID_ARGUMENT"
        )
    state = (("tracestate", tracestate),) if tracestate else ()
    before = _current.set((("traceparent", traceparent), *state))
    try:
        yield
    finally:
        _current.reset(before)


def trace_metadata() -> tuple[tuple[str, str], ...]:
    """What a call made now sends."""
    return _current.get()
