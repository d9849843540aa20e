"""SweepTraining: one training after the other, each with other settings; the best version stays."""

import itertools
import math
import random
from collections.abc import Iterator
from typing import Any

import msgspec
from google.protobuf import json_format

from llmos.v1 import optimization_service_pb2 as pb
from llmos.v1 import training_service_pb2
from llmosd.errors import InvalidField, LlmosError
from llmosd.jobs.context import JobContext, JobInterrupted
from llmosd.operations.manager import OperationManager
from llmosd.rpc import resources
from llmosd.rpc.caller import InsideCall
from llmosd.rpc.publishing import CANDIDATE
from llmosd.rpc.queueing import decoded
from llmosd.rpc.suboperations import finished
from llmosd.rpc.training_servicer import TrainingServicer
from llmosd.store.catalog import Catalog
from llmosd.store.names import ModelRef
from llmosd.store.run_directory import Order, RunDirectory
from llmosd.store.versions import VersionStore
from llmosd.supervisor.pool import ModelPool

KIND = "sweep-training"
_MOST_TRIALS = 64

Settings = dict[str, str]


class SweepSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked: the request as base64, and the settings of each trial."""

    request: str
    trials: list[Settings]
    tenant: str = ""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one training."""

    settings: Settings
    operation: str
    metrics: dict[str, float] = {}
    version: str = ""
    error: str = ""


class SweepDone(msgspec.Struct, frozen=True, kw_only=True):
    """All trials, and the position of the best one."""

    trials: list[Trial]
    best: int


def trials(request: pb.SweepTrainingRequest) -> list[Settings]:
    """The combinations to try, in order; drawn by the seed where there are too many.

    Raises:
        InvalidField: an axis is there twice, or is no field of a training.
    """
    names = [axis.field for axis in request.axes]
    for at, name in enumerate(names):
        if name in names[:at]:
            raise InvalidField.of(f"axes[{at}].field", "is there twice; put its values together")
    every = math.prod(len(axis.values) for axis in request.axes)
    most = request.max_trials if request.HasField("max_trials") else _MOST_TRIALS
    places = range(every)
    if every > most:
        drawn = random.Random(request.seed).sample(places, most)  # noqa: S311 - nothing is secret
        places_taken = sorted(drawn)
    else:
        places_taken = list(places)
    product = itertools.product(*(axis.values for axis in request.axes))
    wanted = set(places_taken)
    found = [
        dict(zip(names, values, strict=True)) for at, values in enumerate(product) if at in wanted
    ]
    for settings in found:
        with_settings(request.training, settings)
    return found


def with_settings(
    training: training_service_pb2.TrainModelRequest, settings: Settings
) -> training_service_pb2.TrainModelRequest:
    """The training with fields set by path, their values read as JSON; raises InvalidField."""
    made = training_service_pb2.TrainModelRequest()
    made.CopyFrom(training)
    for path, text in settings.items():
        value = _value(text)
        for name in reversed(path.split(".")):
            value = {name: value}
        try:
            json_format.ParseDict(value, made)
        except json_format.ParseError:
            raise InvalidField.of(
                "axes", f"{path} is no field of a training, or {text} no value of it"
            ) from None
    return made


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


class Sweeps:
    """Runs sweeps."""

    def __init__(
        self,
        catalog: Catalog,
        store: VersionStore,
        pool: ModelPool,
        training: TrainingServicer,
        operations: OperationManager,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._pool = pool
        self._training = training
        self._operations = operations

    async def run(self, order: Order, context: JobContext) -> SweepDone:
        """Train, one after the other, and keep the best; see inside_jobs."""
        spec = msgspec.json.decode(order.job, type=SweepSpec)
        request = decoded(pb.SweepTrainingRequest, spec.request)
        tried = []
        for at, settings in enumerate(spec.trials):
            context.report("sweep", at, len(spec.trials), "trainings")
            tried.append(await self._trial(at, settings, spec, request, context))
        best = best_of([trial.metrics for trial in tried], request)
        if best is None:
            reason = next((trial.error for trial in tried if trial.error), "")
            name = request.metric or "loss"
            raise InvalidField.of("metric", f"no training came to a {name}: {reason}".rstrip(": "))
        record = self._catalog.resolve(ModelRef.parse(tried[best].version))
        if record.version != self._catalog.model(record.model_id).live.version:
            self._catalog.set_alias(record.model_id, CANDIDATE, record.version)
        if not request.keep_all:
            tried = [
                trial if at == best else await self._forgotten(trial)
                for at, trial in enumerate(tried)
            ]
        return SweepDone(trials=tried, best=best)

    async def publish(self, _run: RunDirectory, result: bytes) -> bytes:
        """The response."""
        done = msgspec.json.decode(result, type=SweepDone)
        spec = msgspec.json.decode(_run.order().job, type=SweepSpec)
        request = decoded(pb.SweepTrainingRequest, spec.request)
        record = self._catalog.resolve(ModelRef.parse(done.trials[done.best].version))
        response = pb.SweepTrainingResponse(
            version=resources.version(record, self._pool), best=done.best
        )
        for trial in done.trials:
            response.trials.add(
                settings=trial.settings,
                value=trial.metrics.get(request.metric or "loss"),
                metrics=trial.metrics,
                operation=trial.operation,
                error=trial.error,
                version=trial.version,
            )
        return resources.packed(response)

    async def _trial(
        self,
        at: int,
        settings: Settings,
        spec: SweepSpec,
        request: pb.SweepTrainingRequest,
        context: JobContext,
    ) -> Trial:
        training = with_settings(request.training, settings)
        training.request_id = f"{context.folder.name}-{at}"
        operation = ""
        try:
            started = await self._training.TrainModel(training, InsideCall(spec.tenant))
            operation = started.name
            stage = f"training {at + 1} of {len(spec.trials)}"
            response = await finished(self._operations, operation, context, stage)
        except JobInterrupted:
            raise
        except LlmosError as error:
            context.check_cancelled()
            context.warn(f"{_words(settings)}: {error.message}")
            return Trial(settings=settings, operation=operation, error=error.message)
        made = training_service_pb2.TrainModelResponse()
        response.Unpack(made)
        return Trial(
            settings=settings,
            operation=operation,
            metrics=dict(made.metrics),
            version=made.version.name,
        )

    async def _forgotten(self, trial: Trial) -> Trial:
        """Remove a trial's version, but for one that is live, or that somebody uses."""
        if not trial.version:
            return trial
        record = self._catalog.resolve(ModelRef.parse(trial.version))
        live = self._catalog.model(record.model_id).live.version
        if record.version == live or self._pool.resident(record) is not None:
            return trial
        self._catalog.delete_version(record.model_id, record.version)
        self._store.delete(record.model_id, record.version)
        return msgspec.structs.replace(trial, version="")


def best_of(found: list[dict[str, float]], request: pb.SweepTrainingRequest) -> int | None:
    """Position of the best of several trainings' metrics; None where none has the metric."""
    name = request.metric or "loss"
    values: Iterator[tuple[float, int]] = (
        (-each[name] if request.maximize else each[name], at)
        for at, each in enumerate(found)
        if math.isfinite(each.get(name, math.nan))
    )
    best = min(values, default=None)
    return None if best is None else best[1]


def _words(settings: Settings) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())
