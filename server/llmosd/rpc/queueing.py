"""Requests that become durable jobs: asked once, however often they are sent."""

from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import msgspec
from google.longrunning import operations_proto_pb2 as lro
from google.protobuf.message import Message

from llmosd.operations.manager import OperationManager
from llmosd.rpc import convert, resources
from llmosd.store.run_directory import Order, Resources

M = TypeVar("M", bound=Message)


class Job(NamedTuple):
    """What is to be queued: the resource it works on, its spec, and the resources it reads.

    One that has no threads of its own computes nothing, and waits for others that do.
    """

    target: str
    spec: msgspec.Struct
    reads: list[str]
    resources: Resources = Resources(threads=0)


def queued(
    operations: OperationManager, kind: str, request: Any, make: Callable[[], Job]
) -> lro.Operation:
    """The operation of a request: the one it made before, else a new one of what `make` says.

    Raises:
        RequestIdReused, and what `make` raises.
    """
    digest = convert.payload_digest(request)
    record = operations.repeated(request.request_id, digest)
    if record is None:
        job = make()
        order = Order(
            kind=kind,
            resources=job.resources,
            job=msgspec.Raw(msgspec.json.encode(job.spec)),
            reads=job.reads,
        )
        record = operations.start_job(
            kind, job.target, order, request_id=request.request_id, payload_digest=digest
        )
    return resources.operation(record, operations)


def encoded(request: Message) -> str:
    """A request as specs hold it."""
    return b64encode(request.SerializeToString(deterministic=True)).decode()


def decoded(kind: type[M], text: str) -> M:
    """The request that `encoded` was given."""
    return kind.FromString(b64decode(text))
