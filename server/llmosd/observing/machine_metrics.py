"""The daemon as a program on a machine: its version, its processes' memory, its disk, its log."""

import platform
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from llmosd import __version__, device, log


class MachineCollector(Collector):
    """Reads /proc and the file system."""

    def __init__(self, state: Path, processes: Callable[[], Mapping[str, Sequence[int]]]) -> None:
        """`processes` are process ids by kind: daemon, engine, spare, job."""
        self._state = state
        self._processes = processes

    def collect(self) -> Iterable[Metric]:
        """A dozen numbers."""
        about = {
            "version": __version__,
            "python": platform.python_version(),
            "grpc": version("grpcio"),
        }
        yield InfoMetricFamily("llmos_build", "What runs.", value=about)
        resident = GaugeMetricFamily(
            "llmos_process_resident_bytes",
            "Resident memory of the daemon and its processes.",
            labels=("kind",),
        )
        number = GaugeMetricFamily("llmos_processes", "Processes.", labels=("kind",))
        for kind, pids in self._processes().items():
            resident.add_metric((kind,), sum(map(device.resident_bytes, pids)))
            number.add_metric((kind,), len(pids))
        yield from (resident, number)
        yield _gauge(
            "llmos_memory_available_bytes",
            "Memory that can be had without swapping, the control group's limit included.",
            device.available_memory(),
        )
        yield _gauge(
            "llmos_memory_total_bytes",
            "Memory of the machine, or the control group's limit.",
            device.total_memory(),
        )
        disk = shutil.disk_usage(self._state)
        yield _gauge(
            "llmos_state_disk_free_bytes", "Free, of the state directory's disk.", disk.free
        )
        yield _gauge("llmos_state_disk_size_bytes", "The state directory's disk.", disk.total)
        dropped = CounterMetricFamily(
            "llmos_log_lines_dropped", "Log lines that nobody read fast enough."
        )
        dropped.add_metric((), log.dropped_lines())
        yield dropped


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)
