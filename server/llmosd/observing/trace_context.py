"""W3C trace context in a call's metadata: read, checked, and left out where it is wrong.

https://www.w3.org/TR/trace-context/: whoever receives what it cannot read goes on without it.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
_FORM = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
    r"(?P<rest>-.*)?"
)
_LONGEST_STATE = 512
_SAMPLED = 1


class TraceContext(NamedTuple):
    """Whose part a call is: ids in lower-case hexadecimal, as they came."""

    trace_id: str
    parent_id: str
    flags: int
    state: str = ""

    @property
    def sampled(self) -> bool:
        """Whether the caller records its own part."""
        return bool(self.flags & _SAMPLED)


def trace_context(metadata: Iterable[tuple[str, str | bytes]]) -> TraceContext | None:
    """The context that came with a call; None: none, more than one, or none that can be read."""
    parents: list[str] = []
    states: list[str] = []
    for key, value in metadata:
        if key == TRACEPARENT:
            parents.append(str(value))
        elif key == TRACESTATE:
            states.append(str(value))
    if len(parents) != 1:
        return None
    match = _FORM.fullmatch(parents[0])
    if match is None or match["version"] == "ff":
        return None
    if match["rest"] is not None and match["version"] == "00":
        return None
    if not int(match["trace"], 16) or not int(match["parent"], 16):
        return None
    state = ",".join(states)
    if len(state) > _LONGEST_STATE or not (state.isascii() and state.isprintable()):
        state = ""
    return TraceContext(match["trace"], match["parent"], int(match["flags"], 16), state)
