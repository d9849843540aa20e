"""OptimizeModel: a version out of others, judged before it may stay."""

import contextlib
import shutil
from base64 import b64decode, b64encode
from pathlib import Path

import msgspec

from llmos.v1 import evaluation_pb2, priority_pb2
from llmos.v1 import evaluation_service_pb2 as evaluation_pb
from llmos.v1 import optimization_service_pb2 as pb
from llmosd.errors import LlmosError, ModelNotFound
from llmosd.jobs.context import JobContext, JobInterrupted
from llmosd.jobs.optimizing.specs import Optimized, OptimizeSpec
from llmosd.operations.manager import OperationManager
from llmosd.rpc import resources
from llmosd.rpc.caller import InsideCall
from llmosd.rpc.evaluation_servicer import EvaluationServicer
from llmosd.rpc.publishing import CANDIDATE, Publisher
from llmosd.rpc.regressions import check_regression
from llmosd.rpc.suboperations import finished, told
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
        evaluations: EvaluationServicer,
        operations: OperationManager,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._pool = pool
        self._runner = runner
        self._publisher = publisher
        self._evaluations = evaluations
        self._operations = operations

    async def run(self, order: Order, context: JobContext) -> OptimizationDone:
        """Make the version, and judge it; see inside_jobs. What is done already is not repeated."""
        spec = msgspec.json.decode(order.job, type=OptimizationSpec)
        request = pb.OptimizeModelRequest.FromString(b64decode(spec.request))
        made, folder = await self._made(spec, context)
        before = self._candidate(spec.model_id)
        record = await self._publisher.publish_candidate(spec.model_id, made.digest, folder)
        done = OptimizationDone(version=record.name, report=made.report)
        if not request.evaluate_on:
            return done
        names = {"before": spec.optimize.name, "after": record.name}
        try:
            found = {
                which: await self._judged(which, name, request, spec.tenant, context)
                for which, name in names.items()
            }
            if request.HasField("max_metric_regression"):
                allowed = request.max_metric_regression
                check_regression(found["before"], found["after"], allowed)
        except JobInterrupted:
            raise
        except LlmosError:
            await self._remove(record, before)
            raise
        encoded = {n: b64encode(each.SerializeToString()).decode() for n, each in found.items()}
        return msgspec.structs.replace(done, **encoded)

    async def publish(self, run: RunDirectory, result: bytes) -> bytes:
        """The response; the version is there already."""
        done = msgspec.json.decode(result, type=OptimizationDone)
        spec = msgspec.json.decode(run.order().job, type=OptimizationSpec)
        response = pb.OptimizeModelResponse(report=done.report)
        for field, name in (("version", done.version), ("source", spec.optimize.name)):
            record = self._catalog.resolve(ModelRef.parse(name))
            getattr(response, field).CopyFrom(resources.version(record, self._pool))
        if done.before:
            response.before.ParseFromString(b64decode(done.before))
            response.after.ParseFromString(b64decode(done.after))
        return resources.packed(response)

    async def _made(self, spec: OptimizationSpec, context: JobContext) -> tuple[Optimized, Path]:
        out = context.folder / OUT
        folder, told_of = out / _VERSION, out / _OPTIMIZED
        if told_of.exists():
            return msgspec.json.decode(told_of.read_bytes(), type=Optimized), folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o750)
        order = msgspec.structs.replace(spec.optimize, output=str(folder))
        made = await self._runner.run("optimize a model", order, told(context))
        write_durably(out, _OPTIMIZED, msgspec.json.encode(made))
        return made, folder

    def _candidate(self, model_id: str) -> int | None:
        """The version that the model's candidate is now, if there is one."""
        try:
            return self._catalog.resolve(ModelRef(model_id, alias=CANDIDATE)).version
        except ModelNotFound:
            return None

    async def _judged(
        self,
        which: str,
        name: str,
        request: pb.OptimizeModelRequest,
        tenant: str,
        context: JobContext,
    ) -> evaluation_pb2.Evaluation:
        """The evaluation of a version, an operation of its own."""
        evaluate = evaluation_pb.EvaluateModelRequest(
            model=name,
            parts=request.evaluate_on,
            max_examples=request.max_examples,
            priority=priority_pb2.PRIORITY_LOW,
            request_id=f"{context.folder.name}-{which}",
        )
        started = await self._evaluations.EvaluateModel(evaluate, InsideCall(tenant))
        response = await finished(self._operations, started.name, context, f"evaluate {which}")
        evaluation = evaluation_pb2.Evaluation()
        response.Unpack(evaluation)
        return evaluation

    async def _remove(self, record: VersionRecord, candidate: int | None) -> None:
        """Leave nothing of a version that may not stay; `candidate` is it again, if it is there."""
        if self._pool.resident(record) is not None:
            await self._pool.unload(record, force=True)
        self._catalog.delete_version(record.model_id, record.version)
        self._store.delete(record.model_id, record.version)
        if candidate not in (None, record.version):
            with contextlib.suppress(ModelNotFound):  # deleted meanwhile
                self._catalog.set_alias(record.model_id, CANDIDATE, candidate)
