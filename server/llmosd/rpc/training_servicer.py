"""llmos.v1.TrainingService: translate, queue, translate."""

import contextlib
from datetime import UTC, datetime
from typing import Any

import msgspec
from google.longrunning import operations_proto_pb2 as lro

from llmos.v1 import training_service_pb2 as pb
from llmos.v1 import training_service_pb2_grpc
from llmosd import device
from llmosd.errors import InsufficientMemory, InvalidField
from llmosd.jobs.specs import TrainSpec
from llmosd.jobs.training.events import TrainResult
from llmosd.operations.durable import DurableJobs
from llmosd.operations.manager import OperationManager
from llmosd.rpc import convert, resources
from llmosd.rpc.publishing import Publisher
from llmosd.rpc.queueing import Job, queued
from llmosd.rpc.training_estimate import training_estimate
from llmosd.rpc.training_spec import TrainingSpecs
from llmosd.store.names import model_name
from llmosd.store.records import OperationRecord
from llmosd.store.run_directory import CHECKPOINTS, OUT, Resources, RunDirectory
from llmosd.supervisor.pool import ModelPool

KIND = "train-model"


class TrainingServicer(training_service_pb2_grpc.TrainingServiceServicer):
    """Queues jobs, and publishes what they make."""

    def __init__(
        self,
        specs: TrainingSpecs,
        operations: OperationManager,
        jobs: DurableJobs,
        publisher: Publisher,
        pool: ModelPool,
    ) -> None:
        self._specs = specs
        self._operations = operations
        self._jobs = jobs
        self._publisher = publisher
        self._pool = pool
        jobs.register(KIND, self._publish)

    async def TrainModel(self, request: pb.TrainModelRequest, _context: Any) -> lro.Operation:
        """Queue a job."""

        def make() -> Job:
            spec, used = self._specs.make(request)
            needed = training_estimate(spec).memory_bytes
            self._check_memory(needed)
            takes = Resources(threads=spec.threads, memory_bytes=needed)
            return Job(model_name(request.model_id), spec, used, takes)

        return queued(self._operations, KIND, request, make)

    async def EstimateTraining(
        self, request: pb.TrainModelRequest, _context: Any
    ) -> pb.TrainingEstimate:
        """What a job would take."""
        spec, _ = self._specs.make(request)
        found = training_estimate(spec)
        return pb.TrainingEstimate(
            parameter_count=found.parameters,
            trainable_parameter_count=found.trained,
            memory_bytes=found.memory_bytes,
            disk_bytes=found.disk_bytes,
            steps=found.steps,
            duration=convert.duration(found.seconds),
        )

    async def SaveCheckpoint(
        self, request: pb.SaveCheckpointRequest, _context: Any
    ) -> pb.SaveCheckpointResponse:
        """Ask for a checkpoint."""
        self._jobs.save(self._training(request.name).operation_id)
        return pb.SaveCheckpointResponse()

    async def ListCheckpoints(
        self, request: pb.ListCheckpointsRequest, _context: Any
    ) -> pb.ListCheckpointsResponse:
        """The checkpoints on disk."""
        run = self._jobs.directory(self._training(request.name).operation_id)
        response = pb.ListCheckpointsResponse()
        for path in sorted((run.path / CHECKPOINTS).glob("step-*")):
            with contextlib.suppress(FileNotFoundError):  # the worker keeps the newest only
                made = datetime.fromtimestamp((path / "DONE").stat().st_mtime, UTC)
                response.checkpoints.add(
                    step=int(path.name.removeprefix("step-")),
                    create_time=convert.timestamp(made),
                    byte_size=sum(each.stat().st_size for each in path.iterdir()),
                )
        return response

    async def _publish(self, run: RunDirectory, result: bytes) -> bytes:
        """A finished job's folder becomes a version."""
        made = msgspec.json.decode(result, type=TrainResult)
        spec = msgspec.json.decode(run.order().job, type=TrainSpec)
        version = await self._publisher.publish_candidate(
            spec.model_id, made.digest, run.path / OUT
        )
        return resources.packed(
            pb.TrainModelResponse(
                version=resources.version(version, self._pool),
                steps=made.steps,
                metrics=made.metrics,
                ended_by="early stopping" if made.stopped_early else "all steps done",
            )
        )

    def _check_memory(self, needed: int) -> None:
        """Raise InsufficientMemory for what this machine could not run with nothing else in it."""
        total = device.total_memory()
        if needed > total:
            raise InsufficientMemory(
                f"the job needs about {needed >> 20} MiB of memory, the machine has {total >> 20};"
                " take a smaller batch_size or sequence_length, or gradient_checkpointing",
                metadata={"needed_bytes": str(needed), "available_bytes": str(total)},
            )

    def _training(self, name: str) -> OperationRecord:
        record = self._operations.get(name.removeprefix("operations/"))
        if record.kind != KIND:
            raise InvalidField.of("name", f"operations/{record.operation_id} trains nothing")
        return record
