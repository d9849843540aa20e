"""Records of the catalog and the pool as resources of the API."""

from typing import Any

import msgspec
from google.longrunning import operations_proto_pb2 as lro
from google.protobuf import any_pb2
from google.protobuf.message import Message

from llmos.v1 import model_pb2, operation_service_pb2
from llmosd.ipc import Failure
from llmosd.ipc.messages import EngineStats
from llmosd.operations.journal import WatchEvent
from llmosd.operations.manager import OperationManager
from llmosd.rpc import convert, status
from llmosd.store.names import version_name
from llmosd.store.records import ModelRecord, OperationRecord, VersionRecord
from llmosd.store.run_events import (
    CheckpointEvent,
    MetricEvent,
    PhaseEvent,
    ProgressEvent,
    SampleEvent,
    WarningEvent,
)
from llmosd.supervisor.pool import ModelPool
from llmosd.supervisor.resident import Resident

_STATES = operation_service_pb2.OperationMetadata.State
# A daemon's stop is a failure to whoever waits for the result; ErrorInfo tells it apart.
_OPERATION_STATES = {
    "QUEUED": _STATES.STATE_QUEUED,
    "PAUSED": _STATES.STATE_PAUSED,
    "RUNNING": _STATES.STATE_RUNNING,
    "SUCCEEDED": _STATES.STATE_SUCCEEDED,
    "FAILED": _STATES.STATE_FAILED,
    "INTERRUPTED": _STATES.STATE_FAILED,
    "CANCELLED": _STATES.STATE_CANCELLED,
}


def version(record: VersionRecord, pool: ModelPool) -> model_pb2.ModelVersion:
    """A version with its residency."""
    return model_pb2.ModelVersion(
        name=record.name,
        create_time=convert.timestamp(record.create_time),
        architecture=record.family,
        parameter_count=record.parameter_count,
        context_length=record.context_length,
        vocabulary_size=record.vocabulary_size,
        dtype=record.dtype,
        byte_size=record.byte_size,
        digest=record.digest,
        license=record.license,
        source=record.source,
        chat=record.chat,
        notes=record.notes.splitlines(),
        residency=_residency(pool.resident(record)),
    )


def model(record: ModelRecord, pool: ModelPool) -> model_pb2.Model:
    """A model with its live version."""
    return model_pb2.Model(
        name=record.name,
        create_time=convert.timestamp(record.create_time),
        aliases={
            alias: version_name(record.model_id, number) for alias, number in record.aliases.items()
        },
        live=version(record.live, pool),
        version_count=record.version_count,
    )


def _residency(resident: Resident | None) -> model_pb2.Residency:
    if resident is None:
        return model_pb2.Residency(state=model_pb2.Residency.STATE_UNLOADED)
    result = model_pb2.Residency(
        state=f"STATE_{resident.state.value}",
        dtype=resident.dtype,
        resident_bytes=resident.resident_bytes,
        last_use_time=convert.timestamp(resident.last_use_time),
        expire_time=convert.timestamp(resident.expire_time),
        restarts=resident.restarts,
        host=resident.base.record.name if resident.base else "",
    )
    if resident.failure is not None:
        result.failure.CopyFrom(status.to_status(resident.failure))
    handle = resident.handle
    if handle is not None:
        result.pid = handle.pid
        result.runner, result.device = handle.ready.runner, handle.ready.device
        result.kv_blocks_total = handle.ready.kv_blocks
        result.kv_blocks_used = handle.stats.kv_blocks_used
        result.running, result.waiting = handle.stats.running, handle.stats.waiting
        result.counters.CopyFrom(_counters(handle.stats))
    return result


def _counters(stats: EngineStats) -> model_pb2.Residency.Counters:
    return model_pb2.Residency.Counters(
        steps=stats.steps,
        preemptions=stats.preemptions,
        prompt_tokens=stats.prompt_tokens,
        cached_prompt_tokens=stats.cached_tokens,
        drafted_tokens=stats.drafted_tokens,
        accepted_tokens=stats.accepted_tokens,
    )


def operation(record: OperationRecord, operations: OperationManager) -> lro.Operation:
    """An operation, with metadata, and its result where it has ended."""
    sequence, progress, metric = operations.standing(record.operation_id)
    ended = record.end_time is not None
    metadata = operation_service_pb2.OperationMetadata(
        kind=record.kind,
        target=record.target,
        state=_OPERATION_STATES[record.phase or record.state],
        create_time=convert.timestamp(record.create_time),
        end_time=convert.timestamp(record.end_time),
        progress=_progress(progress) if progress else None,
        sequence=sequence + 1 if ended else sequence,
        metrics=_metrics(metric) if metric else None,
    )
    result = lro.Operation(name=f"operations/{record.operation_id}", done=ended)
    result.metadata.Pack(metadata)
    if record.state == "SUCCEEDED":
        result.response.ParseFromString(record.result or b"")
    elif ended:
        failure = msgspec.msgpack.decode(record.result or b"", type=Failure)
        result.error.CopyFrom(status.to_status(failure.error()))
    return result


def operation_event(
    item: WatchEvent, operations: OperationManager
) -> operation_service_pb2.OperationEvent:
    """What a watcher is told."""
    event = operation_service_pb2.OperationEvent(
        sequence=item.sequence, time=convert.timestamp(item.time)
    )
    match item.event:
        case ProgressEvent():
            event.progress.CopyFrom(_progress(item.event))
        case MetricEvent():
            event.metrics.CopyFrom(_metrics(item.event))
        case PhaseEvent(phase, reason):
            event.phase.state, event.phase.reason = _OPERATION_STATES[phase], reason
        case SampleEvent(step, prompt, text):
            event.sample.step, event.sample.prompt, event.sample.text = step, prompt, text
        case CheckpointEvent(step, best):
            event.checkpoint.step, event.checkpoint.best = step, best
        case WarningEvent(message):
            event.warning.message = message
        case _ if item.done is not None:
            event.done.CopyFrom(operation(item.done, operations))
        case _:
            event.heartbeat.SetInParent()
    return event


def _progress(event: ProgressEvent) -> operation_service_pb2.OperationProgress:
    return operation_service_pb2.OperationProgress(
        stage=event.stage, completed=event.completed, total=event.total, unit=event.unit
    )


def _metrics(event: MetricEvent) -> operation_service_pb2.OperationMetrics:
    return operation_service_pb2.OperationMetrics(
        step=event.step, source=f"SOURCE_{event.source.upper()}", values=event.values
    )


def packed(message: Message | Any) -> bytes:
    """A response as an operation keeps it: a serialized google.protobuf.Any."""
    result = any_pb2.Any()
    result.Pack(message)
    serialized: bytes = result.SerializeToString(deterministic=True)
    return serialized
