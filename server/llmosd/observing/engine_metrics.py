"""What engines told of their work, model by model; read when Prometheus asks.

Gauges are there while a model is in memory. Counters go on when its process is another one: what
ended processes had counted is added to what the present one says.
"""

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from llmosd.supervisor.model_handle import ModelHandle
from llmosd.supervisor.pool import ModelPool
from llmosd.supervisor.resident import Resident, State

PRIORITIES = ("low", "normal", "high")
_MODEL = ("model", "version")
Labels = tuple[str, ...]

# name: (text, further labels' values by where the engine tells the number).
_COUNTERS: dict[str, tuple[str, dict[Labels, str]]] = {
    "llmos_tokens": (
        "Tokens of prompts that began to run (those found in the cache, too), and tokens drawn.",
        {("input",): "stats.prompt_tokens", ("output",): "load.generated_tokens"},
    ),
    "llmos_prefix_cache_queries": (
        "Prompt tokens that were looked for in the prefix cache.",
        {(): "stats.prompt_tokens"},
    ),
    "llmos_prefix_cache_hits": (
        "Prompt tokens that were found in the prefix cache.",
        {(): "stats.cached_tokens"},
    ),
    "llmos_draft_tokens": ("Tokens guessed ahead.", {(): "stats.drafted_tokens"}),
    "llmos_draft_tokens_accepted": (
        "Tokens guessed ahead that were right.",
        {(): "stats.accepted_tokens"},
    ),
    "llmos_preemptions": (
        "Answers that gave their place to others, and were computed again.",
        {(): "stats.preemptions"},
    ),
    "llmos_engine_steps": ("Steps of the engine.", {(): "stats.steps"}),
    "llmos_requests_late": (
        "Requests that the engine refused or dropped for their deadline.",
        {(): "load.late"},
    ),
}
_FURTHER = {"llmos_tokens": ("direction",)}
_READ = {path: attrgetter(path) for _, paths in _COUNTERS.values() for path in paths.values()}


class EngineCollector(Collector):
    """Collects from a pool's engines."""

    def __init__(self, pool: ModelPool, installed: Callable[[str], bool]) -> None:
        """`installed` says whether a version still is; what others counted is forgotten."""
        self._pool = pool
        self._installed = installed
        self._ended: dict[str, dict[str, int]] = {}
        pool.stage.on_engine_ended = self.ended

    def ended(self, version: str, handle: ModelHandle) -> None:
        """Keep the counts of a process that is gone."""
        before = self._ended.get(version, {})
        self._ended[version] = {
            path: before.get(path, 0) + int(read(handle)) for path, read in _READ.items()
        }

    def collect(self) -> Iterable[Metric]:
        """Every metric, for every model that is or was in memory."""
        residents = self._pool.residents()
        yield from _gauges(residents)
        yield from self._counters(residents)
        restarts = CounterMetricFamily(
            "llmos_model_restarts", "Processes of a model that were lost.", labels=_MODEL
        )
        for resident in residents:
            restarts.add_metric(_labels(resident.record.name), resident.restarts)
        yield restarts

    def _counters(self, residents: list[Resident]) -> Iterable[Metric]:
        self._ended = {name: n for name, n in self._ended.items() if self._installed(name)}
        running = {r.record.name: r.handle for r in residents if r.handle is not None}
        for name, (text, paths) in _COUNTERS.items():
            labels = (*_MODEL, *_FURTHER.get(name, ()))
            family = CounterMetricFamily(name, text, labels=labels)
            for version in sorted({*running, *self._ended}):
                for further, path in paths.items():
                    count = self._ended.get(version, {}).get(path, 0)
                    if version in running:
                        count += _READ[path](running[version])
                    family.add_metric((*_labels(version), *further), count)
            yield family


def _gauges(residents: list[Resident]) -> Iterable[Metric]:
    loaded = {r.record.name: r.handle for r in residents if r.handle is not None}
    yield _by_class("llmos_requests_in_flight", "Answers that are computed now.", loaded, "running")
    yield _by_class("llmos_queue_depth", "Requests that wait.", loaded, "waiting")
    for name, text, read in _GAUGES:
        family = GaugeMetricFamily(name, text, labels=_MODEL)
        for version, handle in loaded.items():
            family.add_metric(_labels(version), read(handle))
        yield family
    sizes = GaugeMetricFamily(
        "llmos_model_resident_bytes", "Resident memory of a model's process.", labels=_MODEL
    )
    states = GaugeMetricFamily(
        "llmos_model_state", "1 for the state that a model is in.", labels=(*_MODEL, "state")
    )
    for resident in residents:
        labels = _labels(resident.record.name)
        sizes.add_metric(labels, resident.resident_bytes)
        for state in State:
            states.add_metric((*labels, state.value.lower()), resident.state is state)
    yield sizes
    yield states


_GAUGES: tuple[tuple[str, str, Callable[[ModelHandle], float]], ...] = (
    (
        "llmos_batch_size",
        "Rows of a step of the engine: answers that went on and prompts that ran, lately.",
        lambda handle: handle.load.rows_per_step,
    ),
    (
        "llmos_kv_cache_usage_ratio",
        "Share of the key-value cache's blocks in use, 0 to 1.",
        lambda handle: handle.stats.kv_blocks_used / max(handle.ready.kv_blocks, 1),
    ),
    (
        "llmos_queue_wait_seconds",
        "How long a request of normal priority would wait, at best.",
        lambda handle: handle.load.estimated_wait,
    ),
)


def _by_class(
    name: str, text: str, loaded: Mapping[str, ModelHandle], field: str
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=(*_MODEL, "priority"))
    for version, handle in loaded.items():
        for priority, count in zip(PRIORITIES, getattr(handle.load, field), strict=True):
            family.add_metric((*_labels(version), priority), count)
    return family


def _labels(version: str) -> Labels:
    """models/ID/versions/N as ID and N."""
    _, model, _, number = version.split("/")
    return model, number
