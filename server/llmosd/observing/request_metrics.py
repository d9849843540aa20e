"""How requests of models went: OpenTelemetry's GenAI server histograms, and who was refused.

Names, labels and buckets are those of its semantic conventions, with `_` for `.` and the unit at
the end, so dashboards made for other servers read them. Observed once per request, at its end.
https://github.com/open-telemetry/semantic-conventions-genai
"""

from collections.abc import Callable
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram

PROVIDER = "llmos"
_LABELS = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "error_type")
_DURATION = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
)  # fmt: skip
_FIRST = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip
_PER_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)


class Pace(NamedTuple):
    """How a request's tokens came, in seconds: the first since it arrived, then each on average.

    Of an answer of one token, and of what draws none, the latter, or both, are None.
    """

    first: float | None = None
    per_token: float | None = None


_NO_PACE = Pace()


class RequestMetrics:
    """`model` is always the ID of an installed model, or "" where the request names none."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, text, _LABELS, buckets=buckets, registry=registry)

        self._duration = histogram(
            "gen_ai_server_request_duration_seconds",
            "From a request's arrival to its last token, or to its failure.",
            _DURATION,
        )
        self._first = histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "From a request's arrival to its first token; of those that succeeded.",
            _FIRST,
        )
        self._per_token = histogram(
            "gen_ai_server_time_per_output_token_seconds",
            "Between two tokens after the first, on average; of those that succeeded.",
            _PER_TOKEN,
        )
        self._refused = Counter(
            "llmos_requests_rejected",
            "Requests that were refused before anything was computed for them, by reason.",
            ("model", "reason"),
            registry=registry,
        )

    def ended(
        self, operation: str, model: str, seconds: float, *, error: str = "", pace: Pace = _NO_PACE
    ) -> None:
        """Count a request that has ended; `error` is a reason of the API, "" for success."""
        labels = (operation, PROVIDER, model, error)
        self._duration.labels(*labels).observe(seconds)
        if error:
            return
        if pace.first is not None:
            self._first.labels(*labels).observe(pace.first)
        if pace.per_token is not None:
            self._per_token.labels(*labels).observe(pace.per_token)

    def refused(self, operation: str, model: str, seconds: float, reason: str) -> None:
        """Count a request that came to nothing before its prompt was computed."""
        self.ended(operation, model, seconds, error=reason)
        self._refused.labels(model, reason).inc()

    def prune(self, installed: Callable[[str], bool]) -> None:
        """Forget the series of models that are no longer installed."""
        for metric, label in (
            (self._duration, "gen_ai_request_model"),
            (self._first, "gen_ai_request_model"),
            (self._per_token, "gen_ai_request_model"),
            (self._refused, "model"),
        ):
            for model in _values(metric, label):
                if model and not installed(model):
                    metric.remove_by_labels({label: model})


def _values(metric: Histogram | Counter, label: str) -> set[str]:
    """The values that a label has among a metric's series."""
    return {
        sample.labels[label]
        for family in metric.collect()
        for sample in family.samples
        if label in sample.labels
    }
