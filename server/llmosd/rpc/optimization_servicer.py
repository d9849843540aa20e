"""llmos.v1.OptimizationService: translate, queue, translate."""

from typing import Any

from google.longrunning import operations_proto_pb2 as lro

from llmos.v1 import optimization_service_pb2 as pb
from llmos.v1 import optimization_service_pb2_grpc
from llmosd import device
from llmosd.config import Config
from llmosd.errors import InvalidField
from llmosd.jobs.optimizing.specs import Average, Merge, OptimizeSpec, Prune, Quantize
from llmosd.operations.durable import DurableJobs
from llmosd.operations.manager import OperationManager
from llmosd.rpc import convert_evaluations, optimizations, sweeps
from llmosd.rpc.caller import Caller
from llmosd.rpc.datasets import Datasets
from llmosd.rpc.optimizations import OptimizationSpec
from llmosd.rpc.queueing import Job, encoded, queued
from llmosd.rpc.sweeps import SweepSpec
from llmosd.store.catalog import Catalog
from llmosd.store.names import ModelRef, model_name
from llmosd.store.records import VersionRecord
from llmosd.store.versions import VersionStore

_DTYPES: dict[int, Any] = {pb.QUANTIZED_DTYPE_INT8: "int8", pb.QUANTIZED_DTYPE_INT4: "int4"}
_ROWS = 128


class OptimizationServicer(optimization_service_pb2_grpc.OptimizationServiceServicer):
    """Queues optimizations and sweeps."""

    def __init__(
        self,
        config: Config,
        catalog: Catalog,
        store: VersionStore,
        datasets: Datasets,
        operations: OperationManager,
    ) -> None:
        self._config = config
        self._catalog = catalog
        self._store = store
        self._datasets = datasets
        self._operations = operations

    def register(
        self, jobs: DurableJobs, made: optimizations.Optimizations, swept: sweeps.Sweeps
    ) -> None:
        """Say what becomes of the results."""
        jobs.register(optimizations.KIND, made.publish)
        jobs.register(sweeps.KIND, swept.publish)

    async def OptimizeModel(self, request: pb.OptimizeModelRequest, context: Any) -> lro.Operation:
        """Queue a job."""

        def make() -> Job:
            spec, used = self._spec(request, Caller.of(context).tenant)
            return Job(model_name(spec.model_id), spec, used)

        return queued(self._operations, optimizations.KIND, request, make)

    async def SweepTraining(self, request: pb.SweepTrainingRequest, context: Any) -> lro.Operation:
        """Queue a job."""

        def make() -> Job:
            spec = SweepSpec(
                request=encoded(request),
                trials=sweeps.trials(request),
                tenant=Caller.of(context).tenant,
            )
            return Job(model_name(request.training.model_id), spec, [])

        return queued(self._operations, sweeps.KIND, request, make)

    def _spec(
        self, request: pb.OptimizeModelRequest, tenant: str
    ) -> tuple[OptimizationSpec, list[str]]:
        """What the job is given, and the names of what it reads."""
        record = self._catalog.resolve(ModelRef.parse(request.model))
        used = [record.name]
        calibration = ("", "")
        if request.calibration_dataset:
            if request.WhichOneof("method") not in ("quantize", "prune"):
                raise InvalidField.of("calibration_dataset", "is for quantize and prune")
            data, path = self._datasets.locate(request.calibration_dataset, "calibration_dataset")
            calibration = (str(path), data.name)
            used.append(data.name)
        if request.HasField("max_metric_regression") and not request.evaluate_on:
            raise InvalidField.of("evaluate_on", "says what max_metric_regression is measured on")
        convert_evaluations.check_parts(request.evaluate_on, "evaluate_on", self._datasets)
        base = self._store.manifest(record.model_id, record.version).adapter_base
        method, others = self._method(request)
        spec = OptimizeSpec(
            source=self._folder(record),
            name=record.name,
            digest=record.digest,
            base=self._folder(self._catalog.resolve(ModelRef.parse(base))) if base else "",
            output="",
            method=method,
            calibration=calibration[0],
            calibration_name=calibration[1],
            calibration_rows=request.calibration_rows or _ROWS,
            threads=self._config.threads or device.cpu_count(),
        )
        model_id = request.output_model_id or record.model_id
        made = OptimizationSpec(
            request=encoded(request), optimize=spec, model_id=model_id, tenant=tenant
        )
        return made, used + others

    def _method(
        self, request: pb.OptimizeModelRequest
    ) -> tuple[Quantize | Prune | Merge | Average, list[str]]:
        match request.WhichOneof("method"):
            case "quantize":
                return Quantize(dtype=_DTYPES[request.quantize.dtype]), []
            case "prune":
                how = request.prune
                if not how.sparsity and not how.neurons:
                    raise InvalidField.of("prune", "set sparsity, or neurons, or both")
                return Prune(sparsity=how.sparsity, neurons=how.neurons), []
            case "merge":
                return Merge(), []
        average = request.average
        records = [self._catalog.resolve(ModelRef.parse(each.model)) for each in average.others]
        others = [
            (self._folder(record), record.name, each.weight if each.HasField("weight") else 1.0)
            for record, each in zip(records, average.others, strict=True)
        ]
        weight = average.weight if average.HasField("weight") else 1.0
        return Average(weight=weight, others=others), [record.name for record in records]

    def _folder(self, record: VersionRecord) -> str:
        return str(self._store.place(record.model_id, record.version))
