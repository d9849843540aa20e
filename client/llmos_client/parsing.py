"""From protos to the results of the SDK, but for generations, operations and datasets."""

from llmos.v1 import (
    admin_service_pb2,
    model_pb2,
    model_service_pb2,
)
from llmos_client import results
from llmos_client.parsing_base import enum, moment
from llmos_client.rpc_errors import from_status


def model(proto: model_pb2.Model) -> results.Model:
    """Parse a Model."""
    return results.Model(
        name=proto.name,
        create_time=moment(proto, "create_time"),
        aliases=dict(proto.aliases),
        live=model_version(proto.live) if proto.HasField("live") else None,
        version_count=proto.version_count,
    )


def model_version(proto: model_pb2.ModelVersion) -> results.ModelVersion:
    """Parse a ModelVersion."""
    return results.ModelVersion(
        name=proto.name,
        create_time=moment(proto, "create_time"),
        architecture=proto.architecture,
        parameter_count=proto.parameter_count,
        context_length=proto.context_length,
        vocabulary_size=proto.vocabulary_size,
        dtype=proto.dtype,
        byte_size=proto.byte_size,
        digest=proto.digest,
        license=proto.license,
        source=proto.source,
        chat=proto.chat,
        residency=_residency(proto.residency),
        notes=tuple(proto.notes),
    )


def server_info(proto: admin_service_pb2.GetServerInfoResponse) -> results.ServerInfo:
    """Parse a GetServerInfoResponse."""
    limits = proto.limits
    return results.ServerInfo(
        version=proto.version,
        uptime=proto.uptime.ToTimedelta().total_seconds(),
        pid=proto.pid,
        api_versions=tuple(proto.api_versions),
        limits=results.ServerLimits(
            max_message_bytes=limits.max_message_bytes,
            max_streams_per_connection=limits.max_streams_per_connection,
            max_queue=limits.max_queue,
            max_choices=limits.max_choices,
            max_logprobs=limits.max_logprobs,
        ),
        cpu_count=proto.cpu_count,
        memory_total_bytes=proto.memory_total_bytes,
        memory_available_bytes=proto.memory_available_bytes,
        resident_bytes=proto.resident_bytes,
        generations=proto.generations,
        models_loaded=proto.models_loaded,
        architectures=tuple(proto.architectures),
    )


def _residency(proto: model_pb2.Residency) -> results.Residency:
    state = model_pb2.Residency.State
    return results.Residency(
        state=enum(results.ResidencyState, state, "STATE_", proto.state),
        pid=proto.pid,
        runner=proto.runner,
        device=proto.device,
        dtype=proto.dtype,
        resident_bytes=proto.resident_bytes,
        kv_blocks_total=proto.kv_blocks_total,
        kv_blocks_used=proto.kv_blocks_used,
        running=proto.running,
        waiting=proto.waiting,
        last_use_time=moment(proto, "last_use_time"),
        expire_time=moment(proto, "expire_time"),
        restarts=proto.restarts,
        failure=from_status(proto.failure) if proto.HasField("failure") else None,
        counters=_counters(proto.counters),
        host=proto.host,
    )


def _counters(proto: model_pb2.Residency.Counters) -> results.Counters:
    names = results.Counters.__dataclass_fields__
    return results.Counters(**{name: getattr(proto, name) for name in names})


def load_result(proto: model_service_pb2.LoadModelResponse) -> results.LoadResult:
    """Parse a LoadModelResponse."""
    return results.LoadResult(
        version=model_version(proto.version),
        estimated_bytes=proto.estimated_bytes,
        resident_bytes_before=proto.resident_bytes_before,
        resident_bytes_loaded=proto.resident_bytes_loaded,
    )


def unload_result(proto: model_service_pb2.UnloadModelResponse) -> results.UnloadResult:
    """Parse an UnloadModelResponse."""
    return results.UnloadResult(
        resident_bytes_before=proto.resident_bytes_before,
        resident_bytes_loaded=proto.resident_bytes_loaded,
        resident_bytes_after=proto.resident_bytes_after,
    )
