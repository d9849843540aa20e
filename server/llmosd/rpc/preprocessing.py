"""PreprocessDataset, a durable job.

The same rows and recipe make the same version, so one that was cut off begins again.
"""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from google.longrunning import operations_proto_pb2 as lro

from llmosd.jobs.context import JobContext
from llmosd.jobs.data.specs import PreprocessSpec, Recipe
from llmosd.jobs.messages import DatasetResult, JobProgress
from llmosd.operations.manager import OperationManager
from llmosd.rpc import convert_datasets
from llmosd.rpc.datasets import Datasets
from llmosd.rpc.queueing import Job, queued
from llmosd.rpc.suboperations import told
from llmosd.store.files import write_durably
from llmosd.store.names import DatasetRef, dataset_name
from llmosd.store.run_directory import OUT, Order, RunDirectory
from llmosd.supervisor.job_runner import JobRunner

KIND = "preprocess-dataset"
_VERSION, _NUMBER = "version", "number"


class PreprocessOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked, `source` being a version."""

    source: str
    dataset_id: str
    recipe: Recipe


class Preprocessing:
    """Queues recipes, runs them, and publishes what they make."""

    def __init__(self, datasets: Datasets, operations: OperationManager, runner: JobRunner) -> None:
        self._datasets = datasets
        self._operations = operations
        self._runner = runner

    def start(self, request: Any) -> lro.Operation:
        """Queue a PreprocessDatasetRequest."""

        def make() -> Job:
            source, _ = self._datasets.locate(request.name, "name")
            order = PreprocessOrder(
                source=source.name,
                dataset_id=request.dataset_id or source.dataset_id,
                recipe=convert_datasets.recipe(request.recipe),
            )
            return Job(dataset_name(order.dataset_id), order, [source.name])

        return queued(self._operations, KIND, request, make)

    async def run(self, order: Order, context: JobContext) -> DatasetResult:
        """Make the version in the run directory; see inside_jobs."""
        asked = msgspec.json.decode(order.job, type=PreprocessOrder)
        return await self._make(asked, context.folder / OUT, told(context))

    async def publish(self, run: RunDirectory, result: bytes) -> bytes:
        """Put the version where versions are; called again after a crash, it finds it there."""
        asked = msgspec.json.decode(run.order().job, type=PreprocessOrder)
        made = msgspec.json.decode(result, type=DatasetResult)
        store, table, out = self._datasets.store, self._datasets.table, run.path / OUT
        if (out / _NUMBER).exists():
            ref = DatasetRef(asked.dataset_id, int((out / _NUMBER).read_text()))
            known = self._datasets.known(ref, made.manifest.digest)
            if known is not None:
                return known
        if not (out / _VERSION).exists():  # lost between here and there
            made = await self._make(asked, out, lambda _: None)
        # Before it is taken: a version of this number with these rows is this job's.
        write_durably(out, _NUMBER, str(table.next_version(asked.dataset_id)).encode())
        staging = store.stage()
        try:
            (out / _VERSION).rename(staging.version)
            return self._datasets.published(asked.dataset_id, made, staging)
        finally:
            store.discard(staging)

    async def _make(
        self, asked: PreprocessOrder, out: Path, report: Callable[[JobProgress], None]
    ) -> DatasetResult:
        _, source = self._datasets.locate(asked.source)
        await asyncio.to_thread(shutil.rmtree, out, ignore_errors=True)
        (out / _VERSION).mkdir(parents=True, mode=0o750)
        spec = PreprocessSpec(
            source=str(source),
            source_name=asked.source,
            output=str(out / _VERSION),
            recipe=asked.recipe,
        )
        return await self._runner.run("preprocess a dataset", spec, DatasetResult, report)
