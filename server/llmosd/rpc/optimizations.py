"""OptimizeModel: a version out of others, judged before it may stay."""

import contextlib
import shutil
from pathlib import Path

import msgspec

from llmos.v1 import evaluation_pb2
from llmos.v1 import optimization_service_pb2 as pb
from llmosd.errors import LlmosError, ModelNotFound
from llmosd.jobs.context import JobContext, JobInterrupted
from llmosd.jobs.optimizing.specs import Optimized, OptimizeSpec
from llmosd.rpc import resources
from llmosd.rpc.judging import Judge
from llmosd.rpc.publishing import CANDIDATE, Publisher
from llmosd.rpc.queueing import decoded, encoded
from llmosd.rpc.regressions import check_regression
from llmosd.rpc.suboperations import told
from llmosd.store.catalog import Catalog
from llmosd.store.files import write_durably
from llmosd.store.names import ModelRef
from llmosd.store.records import VersionRecord
from llmosd.store.run_directory import OUT, Order, RunDirectory
from llmosd.store.versions import VersionStore
from llmosd.supervisor.job_runner import JobRunner
from llmosd.supervisor.pool import ModelPool

KIND = "optimize-model"
_VERSION = "version"
_OPTIMIZED = "optimized.json"


class OptimizationSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked: the request as base64, and the order to the process but for its output."""

    request: str
    optimize: OptimizeSpec
    model_id: str
    tenant: str = ""


class OptimizationDone(msgspec.Struct, frozen=True, kw_only=True):
    """The version that was made, and serialized Evaluations as base64, "" where nothing judged."""

    version: str
    report: dict[str, float]
    before: str = ""
    after: str = ""


class Optimizations:
    """Runs optimizations."""

    def __init__(
        self,
        catalog: Catalog,
        store: VersionStore,
        pool: ModelPool,
        runner: JobRunner,
        publisher: Publisher,
        judge: Judge,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._pool = pool
        self._runner = runner
        self._publisher = publisher
        self._judge = judge

    async def run(self, order: Order, context: JobContext) -> OptimizationDone:
        """Make the version, and judge it; see inside_jobs. What is done already is not repeated."""
        spec = msgspec.json.decode(order.job, type=OptimizationSpec)
        request = decoded(pb.OptimizeModelRequest, spec.request)
        made, folder = await self._made(spec, context)
        before = self._candidate(spec.model_id)
        record = await self._publisher.publish_candidate(spec.model_id, made.digest, folder)
        done = OptimizationDone(version=record.name, report=made.report)
        if not request.evaluate_on:
            return done
        names = spec.optimize.name, record.name
        try:
            found = await self._judge.both(
                names, request.evaluate_on, request.max_examples, spec.tenant, context
            )
            if request.HasField("max_metric_regression"):
                allowed = request.max_metric_regression
                check_regression(*found, allowed)
        except JobInterrupted:
            raise
        except LlmosError:
            await self._remove(record, before)
            raise
        return msgspec.structs.replace(done, before=encoded(found[0]), after=encoded(found[1]))

    async def publish(self, run: RunDirectory, result: bytes) -> bytes:
        """The response; the version is there already."""
        done = msgspec.json.decode(result, type=OptimizationDone)
        spec = msgspec.json.decode(run.order().job, type=OptimizationSpec)
        response = pb.OptimizeModelResponse(report=done.report)
        for field, name in (("version", done.version), ("source", spec.optimize.name)):
            record = self._catalog.resolve(ModelRef.parse(name))
            getattr(response, field).CopyFrom(resources.version(record, self._pool))
        if done.before:
            response.before.CopyFrom(decoded(evaluation_pb2.Evaluation, done.before))
            response.after.CopyFrom(decoded(evaluation_pb2.Evaluation, done.after))
        return resources.packed(response)

    async def _made(self, spec: OptimizationSpec, context: JobContext) -> tuple[Optimized, Path]:
        out = context.folder / OUT
        folder, told_of = out / _VERSION, out / _OPTIMIZED
        if told_of.exists():
            return msgspec.json.decode(told_of.read_bytes(), type=Optimized), folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o750)
        order = msgspec.structs.replace(spec.optimize, output=str(folder))
        made = await self._runner.run("optimize a model", order, Optimized, told(context))
        write_durably(out, _OPTIMIZED, msgspec.json.encode(made))
        return made, folder

    def _candidate(self, model_id: str) -> int | None:
        """The version that the model's candidate is now, if there is one."""
        try:
            return self._catalog.resolve(ModelRef(model_id, alias=CANDIDATE)).version
        except ModelNotFound:
            return None

    async def _remove(self, record: VersionRecord, candidate: int | None) -> None:
        """Leave nothing of a version that may not stay; `candidate` is it again, if it is there."""
        if self._pool.resident(record) is not None:
            await self._pool.unload(record, force=True)
        self._catalog.delete_version(record.model_id, record.version)
        self._store.delete(record.model_id, record.version)
        if candidate not in (None, record.version):
            with contextlib.suppress(ModelNotFound):  # deleted meanwhile
                self._catalog.set_alias(record.model_id, CANDIDATE, candidate)
