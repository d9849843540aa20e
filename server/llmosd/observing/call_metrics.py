"""Calls by method and code: one count when a call ends."""

from prometheus_client import CollectorRegistry, Counter


class CallMetrics:
    """Methods are those of the contract, codes gRPC's: so many series, and no more."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            "llmos_calls",
            "Calls that have ended, by method and gRPC status code.",
            ("method", "code"),
            registry=registry,
        )

    def ended(self, method: str, code: str) -> None:
        """Count a call, by its path such as /llmos.v1.ModelService/GetModel."""
        self._calls.labels(method.removeprefix("/"), code).inc()
