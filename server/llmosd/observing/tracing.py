"""Spans by OTLP, where otlp_endpoint is set: one for each call, and one for each generation in it.

Needs the extra `otel`. A span is made when a call begins and handed over when it ends; a thread of
the SDK sends them, a bounded queue drops what the collector does not take.
"""

import contextvars
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from llmosd import __version__
from llmosd.config_checks import ConfigError, ConfigFault
from llmosd.observing.request_metrics import PROVIDER
from llmosd.observing.trace_context import TraceContext

_call: contextvars.ContextVar[Any] = contextvars.ContextVar("span of the call", default=None)
_FLUSH_MILLISECONDS = 3000


class Phases(NamedTuple):
    """How long a generation waited, computed its prompt and drew, in seconds."""

    queue: float
    prefill: float
    decode: float


class Tracing:
    """Makes spans; without an endpoint, none."""

    def __init__(self, endpoint: str) -> None:
        """`endpoint` is http://HOST:PORT, https://HOST:PORT or unix:PATH of a collector, or "".

        Raises:
            ConfigError: the extra `otel` is not installed.
        """
        self._provider: Any = None
        self._tracer: Any = None
        if endpoint:
            self._provider = _provider(endpoint)
            self._tracer = self._provider.get_tracer("llmosd", __version__)

    def begin_call(self, method: str, caller: TraceContext | None) -> Any:
        """The span of a call, which is the caller's child where it said so; None: there is none."""
        if self._tracer is None:
            return None
        from opentelemetry.trace import SpanKind  # noqa: PLC0415 - an extra

        service, _, name = method.lstrip("/").rpartition("/")
        span = self._tracer.start_span(
            method.lstrip("/"),
            context=_parent(caller),
            kind=SpanKind.SERVER,
            attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": name},
        )
        _call.set(span)
        return span

    def end_call(self, span: Any, code: int, reason: str) -> None:
        """The call is over: gRPC's status code as a number, and the API's reason of an error."""
        if span is None:
            return
        span.set_attribute("rpc.grpc.status_code", code)
        _finish(span, reason)

    def generation(
        self,
        name: str,
        attributes: Mapping[str, Any],
        *,
        arrived: float,
        phases: Phases | None,
        error: str,
    ) -> None:
        """A generation that has ended; `arrived` is in time.monotonic() seconds."""
        if self._tracer is None:
            return
        from opentelemetry import trace  # noqa: PLC0415 - an extra

        outer = _call.get()
        clock = time.time_ns() - time.monotonic_ns()
        begin = clock + int(arrived * 1e9)
        span = self._tracer.start_span(
            name,
            context=None if outer is None else trace.set_span_in_context(outer),
            start_time=begin,
            attributes={"gen_ai.provider.name": PROVIDER, **attributes},
        )
        if phases is not None:
            for phase, seconds in phases._asdict().items():
                span.set_attribute(f"llmos.{phase}_seconds", seconds)
            started = begin + int(phases.queue * 1e9)
            span.add_event("llmos.prefill", timestamp=started)
            span.add_event("llmos.first_token", timestamp=started + int(phases.prefill * 1e9))
        _finish(span, error)

    def close(self) -> None:
        """Send what is left, for a moment at most; blocks."""
        if self._provider is not None:
            self._provider.force_flush(_FLUSH_MILLISECONDS)
            self._provider.shutdown()


def _finish(span: Any, error: str) -> None:
    if error:
        from opentelemetry.trace import StatusCode  # noqa: PLC0415 - an extra

        span.set_attribute("error.type", error)
        span.set_status(StatusCode.ERROR)
    span.end()


def _parent(caller: TraceContext | None) -> Any:
    """The caller's span as OpenTelemetry knows it."""
    from opentelemetry import trace  # noqa: PLC0415 - an extra
    from opentelemetry.context import Context  # noqa: PLC0415

    if caller is None:
        return Context()
    remote = trace.SpanContext(
        int(caller.trace_id, 16),
        int(caller.parent_id, 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(caller.flags),
        trace_state=trace.TraceState.from_header([caller.state] if caller.state else []),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(remote), Context())


def _provider(endpoint: str) -> Any:
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        missing = f"{error.name} is not installed; run: pip install 'llmos[otel]'"
        raise ConfigError(ConfigFault("", "otlp_endpoint", missing)) from None
    about = {"service.name": "llmosd", "service.version": __version__}
    provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=not endpoint.startswith("https:"))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
