"""What is counted and traced of every call, whatever it is about."""

from typing import Any

import grpc

from llmosd.observing.call_metrics import CallMetrics
from llmosd.observing.request_metrics import RequestMetrics
from llmosd.observing.trace_context import TraceContext
from llmosd.observing.tracing import Tracing
from llmosd.rpc.request_watch import installed_id
from llmosd.store.catalog import Catalog

# Calls that are one request of a model each, and what OpenTelemetry, or else we, call it.
# Generations are counted by RequestWatch: one call may be many of them.
_OPERATIONS = {
    "/llmos.v1.ScoringService/EmbedText": "embeddings",
    "/llmos.v1.ScoringService/ScoreText": "score",
    "/llmos.v1.ScoringService/ScoreChoices": "score",
    "/llmos.v1.ScoringService/ClassifyText": "classify",
}


class CallObserver:
    """Shared by all calls of a daemon."""

    def __init__(
        self, catalog: Catalog, calls: CallMetrics, requests: RequestMetrics, tracing: Tracing
    ) -> None:
        self._catalog = catalog
        self._calls = calls
        self._requests = requests
        self._tracing = tracing

    def begin(self, method: str, caller: TraceContext | None) -> Any:
        """A call begins; returns its span, for `end`."""
        return self._tracing.begin_call(method, caller)

    def end(
        self,
        span: Any,
        method: str,
        code: grpc.StatusCode,
        reason: str,
        seconds: float,
        model: str,
    ) -> None:
        """It has ended; `model` is what its request names, whatever that is."""
        self._calls.ended(method, code.name)
        self._tracing.end_call(span, code.value[0], reason)
        operation = _OPERATIONS.get(method)
        if operation is not None:
            name = installed_id(self._catalog, model)
            error = "" if code is grpc.StatusCode.OK else reason or code.name
            self._requests.ended(operation, name, seconds, error=error)
