"""What watch_load() tells, from messages to the SDK's own types."""

from llmos.v1 import admin_service_pb2, priority_pb2
from llmos_client import loads, parsing_operations
from llmos_client.parsing_base import moment


def load(proto: admin_service_pb2.WatchLoadResponse) -> loads.Load:
    """Parse a WatchLoadResponse."""
    return loads.Load(
        moment(proto, "time"),
        tuple(map(_model_load, proto.models)),
        tuple(map(parsing_operations.operation, proto.jobs)),
        proto.resident_bytes,
        proto.memory_available_bytes,
        proto.memory_total_bytes,
    )


def _model_load(proto: admin_service_pb2.ModelLoad) -> loads.ModelLoad:
    names = set(loads.ModelLoad.__dataclass_fields__) - {"classes", "tenants", "estimated_wait"}
    tenant = loads.TenantLoad.__dataclass_fields__
    return loads.ModelLoad(
        **{name: getattr(proto, name) for name in names},
        classes=tuple(
            loads.ClassLoad(_priority(each.priority), each.running, each.waiting)
            for each in proto.classes
        ),
        tenants=tuple(
            loads.TenantLoad(**{name: getattr(each, name) for name in tenant})
            for each in proto.tenants
        ),
        estimated_wait=proto.estimated_wait.ToTimedelta().total_seconds(),
    )


def _priority(value: int) -> str:
    names = {number: name for name, number in priority_pb2.Priority.items()}
    return names.get(value, "").removeprefix("PRIORITY_").lower()
