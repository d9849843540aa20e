"""The channel to the daemon and the stubs on it, sync or aio alike."""

from dataclasses import dataclass, field
from typing import Any, cast
from uuid import uuid4

import grpc
from google.longrunning import operations_pb2_grpc
from google.protobuf import wrappers_pb2

from llmos.v1 import (
    access_service_pb2_grpc,
    admin_service_pb2_grpc,
    dataset_service_pb2_grpc,
    evaluation_service_pb2_grpc,
    feedback_service_pb2_grpc,
    generation_service_pb2_grpc,
    latent_service_pb2_grpc,
    model_service_pb2_grpc,
    operation_service_pb2_grpc,
    optimization_service_pb2_grpc,
    scoring_service_pb2_grpc,
    tokenization_service_pb2_grpc,
    training_service_pb2_grpc,
)
from llmos_client.address import Address
from llmos_client.credentials import Credentials
from llmos_client.errors import LlmosError
from llmos_client.rpc_errors import from_rpc
from llmos_client.tracing import trace_metadata

REQUEST_ID_KEY = "x-request-id"
TENANT_KEY = "llmos-tenant"
AUTHORIZATION_KEY = "authorization"

OPTIONS: tuple[tuple[str, Any], ...] = (
    # All three, or a peer that is frozen rather than dead is never noticed.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    # A long prefill is silent for a while: go on pinging.
    ("grpc.http2.max_pings_without_data", 0),
    # Of a Unix socket gRPC would send the percent-encoded path, which some servers refuse.
    ("grpc.default_authority", "localhost"),
    ("grpc.max_send_message_length", 4 * 1024 * 1024),
    # Room for the longest row of a dataset.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # A generation that was begun twice costs twice; who wants to retry does so knowingly.
    ("grpc.enable_retries", 0),
    # The daemon is this machine's or a neighbour's, never behind the proxy of the web.
    ("grpc.enable_http_proxy", 0),
)
# By TLS the authority is the name that the daemon's certificate has to have.
_TLS_OPTIONS = tuple(each for each in OPTIONS if each[0] != "grpc.default_authority")


def open_channel(address: Address, own: Credentials) -> Any:
    """Open a channel for the sync client; the connection is made by the first call."""
    if address.secure:
        return grpc.secure_channel(address.target, _tls(own), options=_TLS_OPTIONS)
    return grpc.insecure_channel(address.target, options=OPTIONS)


def open_aio_channel(address: Address, own: Credentials) -> Any:
    """Open a channel for the asyncio client; needs a running loop."""
    if address.secure:
        return grpc.aio.secure_channel(address.target, _tls(own), options=_TLS_OPTIONS)
    return grpc.aio.insecure_channel(address.target, options=OPTIONS)


def _tls(own: Credentials) -> Any:
    return grpc.ssl_channel_credentials(
        root_certificates=own.tls_ca, private_key=own.tls_key, certificate_chain=own.tls_cert
    )


@dataclass(frozen=True, slots=True)
class CallContext:
    """What one call is known by: the id under which the daemon logs it, and whom it was for."""

    address: str
    request_id: str
    tenant: str = ""
    token: str = field(default="", repr=False)
    trace: tuple[tuple[str, str], ...] = ()

    @classmethod
    def new(cls, address: Address, tenant: str, token: str = "") -> "CallContext":
        """Draw the id of a new call."""
        return cls(str(address), uuid4().hex, tenant, token, trace_metadata())

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What travels with the call."""
        own = ((TENANT_KEY, self.tenant),) if self.tenant else ()
        token = ((AUTHORIZATION_KEY, f"Bearer {self.token}"),) if self.token else ()
        return ((REQUEST_ID_KEY, self.request_id), *own, *token, *self.trace)

    def error(self, error: grpc.RpcError) -> LlmosError:
        """Translate what gRPC raised."""
        return from_rpc(error, request_id=self.request_id, address=self.address)

    def mark(self, error: LlmosError) -> LlmosError:
        """Note the call on an error that came inside an event."""
        error.request_id = error.request_id or self.request_id
        return error


class Stubs:
    """One attribute per service of the daemon."""

    def __init__(self, channel: Any) -> None:
        self.generation = _stub(generation_service_pb2_grpc.GenerationServiceStub, channel)
        self.models = _stub(model_service_pb2_grpc.ModelServiceStub, channel)
        self.datasets = _stub(dataset_service_pb2_grpc.DatasetServiceStub, channel)
        self.evaluations = _stub(evaluation_service_pb2_grpc.EvaluationServiceStub, channel)
        self.feedback = _stub(feedback_service_pb2_grpc.FeedbackServiceStub, channel)
        self.latent = _stub(latent_service_pb2_grpc.LatentServiceStub, channel)
        self.optimization = _stub(optimization_service_pb2_grpc.OptimizationServiceStub, channel)
        self.scoring = _stub(scoring_service_pb2_grpc.ScoringServiceStub, channel)
        self.tokenization = _stub(tokenization_service_pb2_grpc.TokenizationServiceStub, channel)
        self.watching = _stub(operation_service_pb2_grpc.OperationServiceStub, channel)
        self.training = _stub(training_service_pb2_grpc.TrainingServiceStub, channel)
        self.access = _stub(access_service_pb2_grpc.AccessServiceStub, channel)
        self.admin = _stub(admin_service_pb2_grpc.AdminServiceStub, channel)
        self.operations = _stub(operations_pb2_grpc.OperationsStub, channel)
        self.health = HealthStub(channel)


class HealthStub:
    """grpc.health.v1.Health, without the package that has its messages.

    HealthCheckRequest is a string in field 1 and HealthCheckResponse an enum in field 1: on the
    wire the same as the wrappers that every protobuf has.
    """

    def __init__(self, channel: Any) -> None:
        self.Check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=_string_bytes,
            response_deserializer=wrappers_pb2.Int32Value.FromString,
        )


def _string_bytes(text: str) -> bytes:
    return wrappers_pb2.StringValue(value=text).SerializeToString()


def _stub(kind: Any, channel: Any) -> Any:
    # Generated stubs have no annotations.
    return cast("Any", kind)(channel)
