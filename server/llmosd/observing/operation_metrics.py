"""Operations and jobs: what runs and waits, how the others ended, how far trainings are."""

from collections import Counter
from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from llmosd.operations.journal import Journal
from llmosd.store.records import OperationState

_TRAINING = "train-model"


class OperationCollector(Collector):
    """Counts ends as the journal tells them, and reads the rest when it is asked."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._ended: Counter[tuple[str, OperationState]] = Counter()
        journal.on_end = self.ended

    def ended(self, kind: str, state: OperationState) -> None:
        """Count the end of an operation."""
        self._ended[kind, state] += 1

    def collect(self) -> Iterable[Metric]:
        """Open operations by kind and phase, ended ones by kind and outcome, losses by job."""
        opened = GaugeMetricFamily(
            "llmos_operations_open",
            "Operations that have not ended: running, queued or paused.",
            labels=("kind", "phase"),
        )
        for (kind, phase), count in self._journal.table.open_counts().items():
            opened.add_metric((kind, (phase or "RUNNING").lower()), count)
        yield opened
        ended = CounterMetricFamily(
            "llmos_operations",
            "Operations that have ended since the daemon started.",
            labels=("kind", "outcome"),
        )
        for (kind, state), count in self._ended.items():
            ended.add_metric((kind, state.lower()), count)
        yield ended
        yield from self._trainings()

    def _trainings(self) -> Iterable[Metric]:
        """Of jobs that run, which are few; a job's series ends with it."""
        loss = GaugeMetricFamily(
            "llmos_train_loss", "The last loss of a training that runs.", labels=("job",)
        )
        step = GaugeMetricFamily(
            "llmos_train_step", "Steps that a training which runs has done.", labels=("job",)
        )
        for record in self._journal.table.unfinished():
            if record.kind != _TRAINING or record.phase != "RUNNING":
                continue
            metric = self._journal.standing(record.operation_id).metric
            if metric is None:
                continue
            step.add_metric((record.operation_id,), metric.step)
            if "loss" in metric.values:
                loss.add_metric((record.operation_id,), metric.values["loss"])
        yield loss
        yield step
