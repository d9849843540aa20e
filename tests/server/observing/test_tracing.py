"""Traces without what they need, and to nobody who listens."""

import sys
import time

import pytest

from llmosd.config_checks import ConfigError
from llmosd.observing.trace_context import TraceContext
from llmosd.observing.tracing import Phases, Tracing


def test_off_is_nothing():
    """Without an endpoint nothing of OpenTelemetry is made, and nothing is in the way."""
    tracing = Tracing("")
    span = tracing.begin_call("/a.B/C", TraceContext("1" * 32, "2" * 16, 1))
    assert span is None
    tracing.generation("chat m", {}, arrived=0.0, phases=Phases(1, 2, 3), error="")
    tracing.end_call(span, 0, "")
    tracing.close()


def test_the_extra_is_asked_for(monkeypatch):
    """The setting is named, and what to install."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.grpc.trace_exporter", None)
    with pytest.raises(ConfigError, match=r"otlp_endpoint: .* pip install 'llmos\[otel\]'"):
        Tracing("http://127.0.0.1:1")


def test_calls_do_not_wait_for_a_collector(tmp_path, monkeypatch):
    """Spans are handed over; sending them, or not, is a thread's business."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "1")
    tracing = Tracing(f"unix:{tmp_path}/nobody.sock")
    began = time.monotonic()
    for _ in range(100):
        tracing.end_call(tracing.begin_call("/a.B/C", None), 14, "ENGINE_LOST")
    assert time.monotonic() - began < 5  # it takes milliseconds; one try to send takes ten seconds
    tracing._provider.shutdown()
