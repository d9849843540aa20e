"""From protos to what the SDK says about operations, training among them."""

from collections.abc import Callable
from typing import Any

from llmos.v1 import (
    dataset_pb2,
    evaluation_pb2,
    feedback_service_pb2,
    model_pb2,
    model_service_pb2,
    operation_service_pb2,
    optimization_service_pb2,
    training_service_pb2,
)
from llmos_client import (
    operations,
    optimizations,
    parsing,
    parsing_datasets,
    parsing_evaluations,
    parsing_feedback,
    parsing_promotions,
    training,
)
from llmos_client.parsing_base import enum, moment
from llmos_client.rpc_errors import from_status

_STATES = operation_service_pb2.OperationMetadata.State
_SOURCES = operation_service_pb2.OperationMetrics.Source


def operation(proto: Any) -> operations.Operation[Any]:
    """Parse a google.longrunning.Operation of this daemon."""
    metadata = operation_service_pb2.OperationMetadata()
    proto.metadata.Unpack(metadata)
    return operations.Operation(
        name=proto.name,
        kind=metadata.kind,
        target=metadata.target,
        state=_state(metadata.state),
        done=proto.done,
        create_time=moment(metadata, "create_time"),
        end_time=moment(metadata, "end_time"),
        progress=_progress(metadata.progress) if metadata.HasField("progress") else None,
        sequence=metadata.sequence,
        error=from_status(proto.error) if proto.HasField("error") else None,
        response=_response(proto.response) if proto.HasField("response") else None,
        metrics=_metrics(metadata.metrics) if metadata.HasField("metrics") else None,
    )


def operation_event(
    proto: operation_service_pb2.OperationEvent,
) -> operations.OperationEvent | None:
    """Parse an event; heartbeats, which are not kept, are None."""
    kind = proto.WhichOneof("event")
    if kind not in _EVENTS:
        return None
    field, parse = _EVENTS[kind]
    value: Any = parse(getattr(proto, kind))
    at = moment(proto, "time")
    return operations.OperationEvent(proto.sequence, at, **{field: value})


def training_estimate(proto: training_service_pb2.TrainingEstimate) -> training.TrainingEstimate:
    """Parse a TrainingEstimate."""
    return training.TrainingEstimate(
        parameter_count=proto.parameter_count,
        trainable_parameter_count=proto.trainable_parameter_count,
        memory_bytes=proto.memory_bytes,
        disk_bytes=proto.disk_bytes,
        steps=proto.steps,
        seconds=proto.duration.ToTimedelta().total_seconds(),
    )


def checkpoint(proto: training_service_pb2.Checkpoint) -> training.Checkpoint:
    """Parse a Checkpoint."""
    return training.Checkpoint(proto.step, moment(proto, "create_time"), proto.byte_size)


def _state(value: int) -> operations.OperationState:
    return enum(operations.OperationState, _STATES, "STATE_", value)


def _progress(proto: operation_service_pb2.OperationProgress) -> operations.OperationProgress:
    return operations.OperationProgress(proto.stage, proto.completed, proto.total, proto.unit)


def _metrics(proto: operation_service_pb2.OperationMetrics) -> operations.StepMetrics:
    source = "evaluation" if proto.source == _SOURCES.Value("SOURCE_EVALUATION") else "training"
    return operations.StepMetrics(proto.step, source, dict(proto.values))


def _sample(proto: operation_service_pb2.OperationSample) -> operations.Sample:
    return operations.Sample(proto.step, proto.prompt, proto.text)


_EVENTS: dict[str, tuple[str, Callable[[Any], object]]] = {
    "progress": ("progress", _progress),
    "done": ("done", operation),
    "phase": ("phase", lambda proto: _state(proto.state)),
    "metrics": ("metrics", _metrics),
    "sample": ("sample", _sample),
    "checkpoint": ("checkpoint", lambda proto: proto.step),
    "warning": ("warning", lambda proto: proto.message),
}


def _trained(proto: training_service_pb2.TrainModelResponse) -> training.TrainingResult:
    return training.TrainingResult(
        version=parsing.model_version(proto.version),
        steps=proto.steps,
        metrics=dict(proto.metrics),
        ended_by=proto.ended_by,
    )


def _optimized(
    proto: optimization_service_pb2.OptimizeModelResponse,
) -> optimizations.OptimizationResult:
    before, after = (
        parsing_evaluations.evaluation(getattr(proto, name)) if proto.HasField(name) else None
        for name in ("before", "after")
    )
    return optimizations.OptimizationResult(
        version=parsing.model_version(proto.version),
        source=parsing.model_version(proto.source),
        before=before,
        after=after,
        report=dict(proto.report),
    )


def _swept(proto: optimization_service_pb2.SweepTrainingResponse) -> optimizations.SweepResult:
    trials = [
        optimizations.SweepTrial(
            dict(each.settings),
            each.value if each.HasField("value") else None,
            dict(each.metrics),
            each.operation,
            each.error,
            each.version,
        )
        for each in proto.trials
    ]
    return optimizations.SweepResult(
        parsing.model_version(proto.version), tuple(trials), proto.best
    )


_RESPONSES: tuple[tuple[Callable[[], Any], Callable[[Any], object]], ...] = (
    (model_pb2.ModelVersion, parsing.model_version),
    (dataset_pb2.DatasetVersion, parsing_datasets.dataset_version),
    (evaluation_pb2.Evaluation, parsing_evaluations.evaluation),
    (model_service_pb2.LoadModelResponse, parsing.load_result),
    (model_service_pb2.UnloadModelResponse, parsing.unload_result),
    (training_service_pb2.TrainModelResponse, _trained),
    (feedback_service_pb2.LearnFromFeedbackResponse, parsing_feedback.learned),
    (optimization_service_pb2.OptimizeModelResponse, _optimized),
    (optimization_service_pb2.SweepTrainingResponse, _swept),
    (model_service_pb2.PromoteModelVersionResponse, parsing_promotions.result),
    (model_service_pb2.RollbackModelResponse, parsing_promotions.result),
)


def _response(packed: Any) -> object | None:
    for new, parse in _RESPONSES:
        message = new()
        if packed.Unpack(message):
            return parse(message)
    return None
