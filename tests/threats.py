"""What every threat test needs: calls in raw bytes, refusals taken apart, and the descriptors.

raw(daemon)               every method as bytes in, bytes out
refusal(call, ...)        the status of a call that must fail, its text checked for leaks
methods(channel)          every method of every service that the daemon registers
fields(descriptor)        every field that a message of that type can hold, however deep
"""

import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import grpc
from google.longrunning import operations_proto_pb2
from google.protobuf import descriptor_pool, message_factory
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from llmos.v1 import (
    access_service_pb2,
    admin_service_pb2,
    dataset_service_pb2,
    generation_service_pb2,
    latent_service_pb2,
    model_service_pb2,
    operation_service_pb2,
    tokenization_service_pb2,
)

# Importing them registers their descriptors, by which the methods are found.
REGISTERED = (
    access_service_pb2,
    admin_service_pb2,
    dataset_service_pb2,
    generation_service_pb2,
    health_pb2,
    latent_service_pb2,
    model_service_pb2,
    operation_service_pb2,
    operations_proto_pb2,
    tokenization_service_pb2,
)
OPTIONS = [("grpc.default_authority", "localhost"), ("grpc.max_send_message_length", -1)]
# Codes that say the daemon did not expect this.
BROKEN = {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE}
_LEAKS = {
    "an absolute path": re.compile(rf"(?<![\w.])/({'|'.join(map(re.escape, os.listdir('/')))})/"),
    "a class name": re.compile(r"<class|\b[A-Z]\w*(Error|Exception)\b|_pb2|\bllmosd\.| at 0x"),
    "a traceback": re.compile(r"Traceback|\bline \d+, in\b"),
}


class Refusal(NamedTuple):
    """A call that failed."""

    code: str
    reason: str
    message: str
    fields: list[str]

    @property
    def label(self):
        return f"{self.code}/{self.reason}"


class Method(NamedTuple):
    """A method and the class of its requests."""

    path: str
    request: type
    request_streaming: bool
    response_streaming: bool


@contextmanager
def raw(daemon, **options):
    """A channel of the test's own."""
    with grpc.insecure_channel(daemon.address, options=OPTIONS + list(options.items())) as channel:
        yield channel


def start(channel, method, *messages, timeout=10.0, **options):
    """Begin a call with serialized messages; returns what can be cancelled or iterated."""
    kind = f"{'stream' if method.request_streaming else 'unary'}"
    kind += f"_{'stream' if method.response_streaming else 'unary'}"
    sent = iter(messages) if method.request_streaming else messages[0]
    stub = getattr(channel, kind)(method.path)
    if method.response_streaming:
        return stub(sent, timeout=timeout, **options)
    return stub.future(sent, timeout=timeout, **options)


def code_of(channel, method, *messages, timeout=10.0, **options):
    """The status of a call, its leaks checked; OK as soon as a stream has answered once."""
    call = start(channel, method, *messages, timeout=timeout, **options)
    try:
        next(call, None) if method.response_streaming else call.result()
    except grpc.RpcError as error:
        taken_apart(error)
        return error.code()
    finally:
        call.cancel()
    return grpc.StatusCode.OK


def refusal(channel, method, *messages, secrets=(), **options):
    """How a call that must fail failed."""
    call = start(channel, method, *messages, **options)
    try:
        answer = list(call) if method.response_streaming else call.result()
    except grpc.RpcError as error:
        return taken_apart(error, secrets)
    finally:
        call.cancel()
    raise AssertionError(f"{method.path} answered {answer!r}")


def taken_apart(error, secrets=()):
    """A grpc.RpcError as a Refusal; nothing in it may leak."""
    attached = [v for k, v in error.trailing_metadata() or () if k == "grpc-status-details-bin"]
    code = error.code().name
    if not attached:  # gRPC's own
        check_text(error.details() or "", secrets)
        return Refusal(code, "", error.details() or "", [])
    status = status_pb2.Status.FromString(attached[0])
    assert status.code == error.code().value[0]
    return from_status(status, secrets)


def from_status(status, secrets=()):
    """A google.rpc.Status as a Refusal; nothing in it may leak (row T71)."""
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for packed in status.details:
        assert packed.Unpack(info) or packed.Unpack(bad) or "RetryInfo" in packed.type_url
    assert info.domain == "llmos.dev"
    texts = [status.message, *info.metadata.values()]
    texts += [text for v in bad.field_violations for text in (v.field, v.description, v.reason)]
    for text in texts:
        check_text(text, secrets)
    code = next(c.name for c in grpc.StatusCode if c.value[0] == status.code)
    fields = [violation.field for violation in bad.field_violations]
    return Refusal(code, info.reason, status.message, fields)


def check_text(text, secrets=()):
    """No path, class, traceback or secret in what a caller is told."""
    for what, pattern in _LEAKS.items():
        assert not pattern.search(text), f"{what} in {text!r}"
    for secret in secrets:
        assert secret not in text, f"the prompt in {text!r}"


def methods(channel):
    """Every method of every service that the daemon's reflection lists."""
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    ask = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = stub.ServerReflectionInfo(iter([ask]), timeout=10)
    pool = descriptor_pool.Default()
    services = [pool.FindServiceByName(s.name) for s in answer.list_services_response.service]
    return [_method(method) for service in services for method in service.methods]


def method(name):
    """One method of ours by its short name, "Generate"."""
    pool = descriptor_pool.Default()
    for service in ("Generation", "Tokenization", "Model", "Dataset", "Operation", "Admin"):
        described = pool.FindServiceByName(f"llmos.v1.{service}Service").methods_by_name.get(name)
        if described:
            return _method(described)
    described = pool.FindServiceByName("google.longrunning.Operations").methods_by_name[name]
    return _method(described)


def _method(described):
    return Method(
        f"/{described.containing_service.full_name}/{described.name}",
        message_factory.GetMessageClass(described.input_type),
        described.client_streaming,
        described.server_streaming,
    )


def fields(descriptor, above=()):
    """(path of field descriptors, field) of everything a message can hold; no type twice deep."""
    for field in descriptor.fields:
        yield above, field
        if field.message_type and all(f.message_type != field.message_type for f in above):
            yield from fields(field.message_type, (*above, field))


def place(message, above):
    """The message at a path of fields, made on the way; of lists, the first item."""
    for field in above:
        if field.is_repeated:
            items = getattr(message, field.name)
            message = items[0] if items else items.add()
        else:
            message = getattr(message, field.name)
            message.SetInParent()
    return message


def memory(pid, key="VmRSS"):
    """Bytes that a process holds (VmRSS), or held at most since `forget_peak` (VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise AssertionError(key)


def forget_peak(pid):
    Path(f"/proc/{pid}/clear_refs").write_text("5")
