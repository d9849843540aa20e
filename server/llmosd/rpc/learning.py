"""LearnFromFeedback: export, train, judge, and promote what holds; each step an operation."""

import contextlib

import msgspec
from google.protobuf import any_pb2
from google.protobuf.message import Message

from llmos.v1 import (
    dataset_pb2,
    evaluation_pb2,
    model_service_pb2,
    training_service_pb2,
)
from llmos.v1 import evaluation_service_pb2 as evaluation_pb
from llmos.v1 import feedback_service_pb2 as pb
from llmosd.errors import GateRefused, InvalidField, LlmosError, MetricRegressed
from llmosd.jobs.context import JobContext, JobInterrupted
from llmosd.jobs.feedback.specs import RowsKind
from llmosd.operations.manager import OperationManager
from llmosd.rpc import convert, convert_datasets, resources
from llmosd.rpc.caller import InsideCall
from llmosd.rpc.feedback_book import FeedbackBook, Wish
from llmosd.rpc.judging import Judge
from llmosd.rpc.model_servicer import ModelServicer
from llmosd.rpc.queueing import decoded, encoded
from llmosd.rpc.regressions import check_regression
from llmosd.rpc.suboperations import finished
from llmosd.rpc.training_servicer import TrainingServicer
from llmosd.store.catalog import Catalog
from llmosd.store.datasets import DatasetStore
from llmosd.store.files import write_durably
from llmosd.store.names import DatasetRef, ModelRef
from llmosd.store.run_directory import OUT, Order, RunDirectory
from llmosd.supervisor.pool import ModelPool

KIND = "learn-from-feedback"
_MIN_ROWS = 20
_EXPORTED = "exported.json"
_MAX_REGRESSION = 0.02
_ROWS: dict[int, RowsKind] = {
    training_service_pb2.TRAINING_OBJECTIVE_UNSPECIFIED: "rated",
    training_service_pb2.TRAINING_OBJECTIVE_KTO: "rated",
    training_service_pb2.TRAINING_OBJECTIVE_SFT: "pairs",
    training_service_pb2.TRAINING_OBJECTIVE_DPO: "preference",
}
# Of KTO by an adapter, where nobody says otherwise: small steps, several times through few rows.
_DEFAULTS = {"epochs": 3.0, "batch_size": 8}
_LEARNING_RATE = 2e-4


class LearnSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked: the request as base64; the model's live version when it was."""

    request: str
    model_id: str
    live: str
    tenant: str = ""


class LearnDone(msgspec.Struct, frozen=True, kw_only=True):
    """Resource names of what was made, "" where it was not; evaluations as base64."""

    outcome: str
    dataset: str = ""
    version: str = ""
    before: str = ""
    after: str = ""
    promoted: bool = False


class Learning:
    """Runs the loop."""

    def __init__(
        self,
        catalog: Catalog,
        datasets: DatasetStore,
        pool: ModelPool,
        book: FeedbackBook,
        training: TrainingServicer,
        judge: Judge,
        models: ModelServicer,
        operations: OperationManager,
    ) -> None:
        self._catalog = catalog
        self._datasets = datasets
        self._pool = pool
        self._book = book
        self._training = training
        self._judge = judge
        self._models = models
        self._operations = operations

    async def run(self, order: Order, context: JobContext) -> LearnDone:
        """Once around; see inside_jobs. What is done already is found again by its request id."""
        spec = msgspec.json.decode(order.job, type=LearnSpec)
        request = decoded(pb.LearnFromFeedbackRequest, spec.request)
        dataset, rows = await self._exported(spec, request, context)
        least = request.min_rows if request.HasField("min_rows") else _MIN_ROWS
        if rows < least:
            few = f"nothing to learn: {rows} rows of feedback with consent, {least} are needed"
            return LearnDone(outcome=few)
        done = LearnDone(outcome="", dataset=dataset)
        version = await self._trained(dataset, spec, request, context)
        done = msgspec.structs.replace(done, version=version)
        parts = request.evaluate_on or [evaluation_pb.EvaluationPart(suite="anchors")]
        found = await self._judge.both((spec.live, version), parts, 0, spec.tenant, context)
        done = msgspec.structs.replace(done, before=encoded(found[0]), after=encoded(found[1]))
        allowed = _MAX_REGRESSION
        if request.HasField("max_metric_regression"):
            allowed = request.max_metric_regression
        try:
            check_regression(*found, allowed)
        except MetricRegressed as error:
            outcome = f"{version} is a candidate and no more: {error.message}"
            return msgspec.structs.replace(done, outcome=outcome)
        if not request.promote:
            outcome = f"{version} holds, and is the candidate; promote it, or ask for it"
            return msgspec.structs.replace(done, outcome=outcome)
        return await self._promoted(version, done, spec, context)

    async def publish(self, _run: RunDirectory, result: bytes) -> bytes:
        """The response."""
        done = msgspec.json.decode(result, type=LearnDone)
        response = pb.LearnFromFeedbackResponse(outcome=done.outcome, promoted=done.promoted)
        with contextlib.suppress(LlmosError):  # removed meanwhile
            if done.version:
                record = self._catalog.resolve(ModelRef.parse(done.version))
                response.version.CopyFrom(resources.version(record, self._pool))
        with contextlib.suppress(LlmosError):
            if done.dataset:
                data = self._catalog.datasets.resolve(DatasetRef.parse(done.dataset))
                response.dataset.CopyFrom(convert_datasets.version(data, self._datasets))
        if done.before:
            response.before.CopyFrom(decoded(evaluation_pb2.Evaluation, done.before))
            response.after.CopyFrom(decoded(evaluation_pb2.Evaluation, done.after))
        return resources.packed(response)

    async def _exported(
        self, spec: LearnSpec, request: pb.LearnFromFeedbackRequest, context: JobContext
    ) -> tuple[str, int]:
        """The dataset that is learned from, made once, and its rows of feedback."""
        told = context.folder / OUT / _EXPORTED
        if told.exists():
            name, rows = msgspec.json.decode(told.read_bytes(), type=tuple[str, int])
            return name, rows
        context.report("export")
        kind = _ROWS.get(request.training.objective)
        if kind is None:
            raise InvalidField.of("training.objective", "must be KTO, SFT or DPO")
        wish = Wish(
            model_id=spec.model_id,
            dataset_id=f"{spec.model_id}-feedback"[:64],
            kind=kind,
            max_tenant_share=convert.given_or(request, "max_tenant_share", 0.5),
            replay=request.replay_dataset,
            replay_share=convert.given_or(request, "replay_share", 0.3),
        )
        scratch = context.folder / OUT / "scratch"
        scratch.mkdir(exist_ok=True, mode=0o750)
        try:
            packed, made = await self._book.export(wish, scratch)
        except InvalidField as error:
            if [each.field for each in error.violations] != ["kind"]:
                raise
            return "", 0  # nobody said anything, or consented
        version = dataset_pb2.DatasetVersion()
        _unpack(packed, version)
        write_durably(told.parent, told.name, msgspec.json.encode((version.name, made.rows)))
        return version.name, made.rows

    async def _trained(
        self,
        dataset: str,
        spec: LearnSpec,
        request: pb.LearnFromFeedbackRequest,
        context: JobContext,
    ) -> str:
        training = training_service_pb2.TrainModelRequest()
        training.CopyFrom(request.training)
        training.model_id, training.init_from = spec.model_id, spec.live
        training.dataset, training.request_id = dataset, f"{context.folder.name}-train"
        if not training.objective:
            training.objective = training_service_pb2.TRAINING_OBJECTIVE_KTO
        if not training.method:
            training.method = training_service_pb2.TRAINING_METHOD_LORA
        if not training.lora.HasField("merge"):
            training.lora.merge = True  # the next time begins from whole weights
        for name, value in _DEFAULTS.items():
            if not training.parameters.HasField(name) and not training.parameters.HasField("steps"):
                setattr(training.parameters, name, value)
        if not training.optimizer.HasField("learning_rate"):
            training.optimizer.learning_rate = _LEARNING_RATE
        started = await self._training.TrainModel(training, InsideCall(spec.tenant))
        response = await finished(self._operations, started.name, context, "train")
        made = training_service_pb2.TrainModelResponse()
        response.Unpack(made)
        return made.version.name

    async def _promoted(
        self, version: str, done: LearnDone, spec: LearnSpec, context: JobContext
    ) -> LearnDone:
        """Live is the new version, unless a gate says no: that is an outcome, not a failure."""
        promote = model_service_pb2.PromoteModelVersionRequest(
            name=version, request_id=f"{context.folder.name}-promote"
        )
        started = await self._models.PromoteModelVersion(promote, InsideCall(spec.tenant))
        try:
            await finished(self._operations, started.name, context, "promote")
        except JobInterrupted:
            raise
        except GateRefused as error:
            outcome = f"{version} is a candidate and no more: {error.message}"
            return msgspec.structs.replace(done, outcome=outcome)
        return msgspec.structs.replace(done, promoted=True, outcome=f"{version} is live")


def _unpack(packed: bytes, message: Message) -> None:
    any_pb2.Any.FromString(packed).Unpack(message)
