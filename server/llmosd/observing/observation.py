"""Everything that watches this daemon, put together."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence

from llmosd.config import Config
from llmosd.errors import LlmosError
from llmosd.observing.call_metrics import CallMetrics
from llmosd.observing.check import Check
from llmosd.observing.engine_metrics import EngineCollector
from llmosd.observing.http_endpoint import HttpEndpoint
from llmosd.observing.loop_lag import LoopLag
from llmosd.observing.machine_checks import machine_checks
from llmosd.observing.machine_metrics import MachineCollector
from llmosd.observing.operation_metrics import OperationCollector
from llmosd.observing.registry import MetricRegistry
from llmosd.observing.request_metrics import RequestMetrics
from llmosd.observing.tracing import Tracing
from llmosd.observing.work_checks import work_checks
from llmosd.operations.journal import Journal
from llmosd.store.catalog import Catalog
from llmosd.store.names import ModelRef
from llmosd.supervisor.pool import ModelPool

_CLOSE_SECONDS = 5.0


class Observation:
    """Metrics, traces and the watch on the event loop; runs from `start` to `stop`."""

    def __init__(
        self,
        config: Config,
        catalog: Catalog,
        pool: ModelPool,
        journal: Journal,
        processes: Callable[[], Mapping[str, Sequence[int]]],
    ) -> None:
        """Raises ConfigError where otlp_endpoint needs what is not installed."""
        self.metrics = MetricRegistry()
        self.requests = RequestMetrics(self.metrics.registry)
        self.calls = CallMetrics(self.metrics.registry)
        self.lag = LoopLag(self.metrics.registry)
        self.tracing = Tracing(config.otlp_endpoint)
        self.metrics.add(
            EngineCollector(pool, self._installed),
            OperationCollector(journal),
            MachineCollector(config.state, processes),
        )
        self._config = config
        self._catalog = catalog
        self._pool = pool
        self._journal = journal
        self.endpoint = HttpEndpoint(self.text)
        self._lag_task: asyncio.Task[None] | None = None

    async def text(self, accept: str = "") -> tuple[bytes, str]:
        """All metrics as text, and its content type; see MetricRegistry."""
        self.requests.prune(self._installed)
        return await self.metrics.text(accept)

    async def checks(self) -> list[Check]:
        """What the daemon finds when it looks at itself and its machine."""
        work = list(work_checks(self._config, self._pool, self._journal, self.lag))
        machine = await asyncio.to_thread(lambda: list(machine_checks(self._config)))
        return [*machine, *work]

    def start(self) -> None:
        """Begin; the endpoint is opened by whom the daemon's addresses are known to."""
        self._lag_task = asyncio.create_task(self.lag.run())

    async def stop(self) -> None:
        """End; spans that are left are sent."""
        if self._lag_task is not None:
            self._lag_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._lag_task
        await self.endpoint.close()
        # A thread that nobody joins: a collector that hangs does not keep the daemon.
        closing = threading.Thread(target=self.tracing.close, name="spans", daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, _CLOSE_SECONDS)

    def _installed(self, name: str) -> bool:
        """Whether there is such a model, or version of one."""
        ref = ModelRef.parse(name)
        try:
            if ref.version is None:  # it may have no live version
                return bool(self._catalog.versions(ref.model_id, 1))
            self._catalog.resolve(ref)
        except LlmosError:
            return False
        return True
