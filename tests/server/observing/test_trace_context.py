"""What of W3C trace context is taken, and what is left out."""

import pytest

from llmosd.observing.trace_context import trace_context

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{PARENT}-01"


@pytest.mark.parametrize(
    ("parent", "sampled"),
    [
        (GOOD, True),
        (f"00-{TRACE}-{PARENT}-00", False),
        (f"00-{TRACE}-{PARENT}-03", True),
        (f"cc-{TRACE}-{PARENT}-01", True),
        (f"cc-{TRACE}-{PARENT}-01-what-the-future-is-like", True),
    ],
)
def test_taken(parent, sampled):
    found = trace_context([("user-agent", "x"), ("traceparent", parent), ("tracestate", "a=1")])
    assert (found.trace_id, found.parent_id, found.state) == (TRACE, PARENT, "a=1")
    assert found.sampled == sampled


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "00",
        GOOD.upper(),
        f" {GOOD}",
        f"{GOOD}\n",
        f"{GOOD}-more",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE[:-1]}g-{PARENT}-01",
        f"cc-{TRACE}-{PARENT}-01.more",
        f"00-{TRACE}-{PARENT}-01" * 1000,
    ],
)
def test_left_out(parent):
    assert trace_context([("traceparent", parent)]) is None


def test_two_are_none():
    assert trace_context([("traceparent", GOOD), ("traceparent", GOOD)]) is None
    assert trace_context([("traceparent", GOOD)]) is not None
    assert trace_context([]) is None


@pytest.mark.parametrize("state", ["a" * 513, "a=\x1b[2J", "ä=1"])
def test_a_state_that_cannot_be_passed_on(state):
    """Is dropped; the trace goes on."""
    found = trace_context([("traceparent", GOOD), ("tracestate", state)])
    assert (found.trace_id, found.state) == (TRACE, "")
