"""All metrics of this daemon, and their text for Prometheus."""

import asyncio
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

# The text would have a second series for each counter and histogram.
disable_created_metrics()  # type: ignore[no-untyped-call]


class MetricRegistry:
    """Metrics that are counted as things happen, and collectors that look when they are asked."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)

    def add(self, *collectors: Collector) -> None:
        """Ask them, too."""
        for collector in collectors:
            self.registry.register(collector)

    async def text(self, accept: str = "") -> tuple[bytes, str]:
        """What a scrape answers, and its content type, as the header Accept prefers.

        Values are read on the event loop, which owns them; a thread writes the text.
        """
        encode, content_type = choose_encoder(accept)
        collected = _Collected(list(self.registry.collect()))
        return await asyncio.to_thread(encode, collected), content_type


class _Collected:
    """What was collected, as the encoders want it."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics
