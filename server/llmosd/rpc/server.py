"""The gRPC servers, one for each listener: services, health, reflection, interceptor, options."""

import asyncio
from dataclasses import dataclass
from typing import Any

import grpc
from google.longrunning import operations_pb2_grpc
from google.longrunning import operations_proto_pb2 as lro
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from llmos.v1 import (
    access_service_pb2,
    access_service_pb2_grpc,
    admin_service_pb2,
    admin_service_pb2_grpc,
    dataset_service_pb2,
    dataset_service_pb2_grpc,
    evaluation_service_pb2,
    evaluation_service_pb2_grpc,
    feedback_service_pb2,
    feedback_service_pb2_grpc,
    generation_service_pb2,
    generation_service_pb2_grpc,
    latent_service_pb2,
    latent_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
    operation_service_pb2,
    operation_service_pb2_grpc,
    optimization_service_pb2,
    optimization_service_pb2_grpc,
    scoring_service_pb2,
    scoring_service_pb2_grpc,
    tokenization_service_pb2,
    tokenization_service_pb2_grpc,
    training_service_pb2,
    training_service_pb2_grpc,
)
from llmosd.config import Config
from llmosd.rpc.access import Gate
from llmosd.rpc.access_servicer import AccessServicer
from llmosd.rpc.admin_servicer import AdminServicer
from llmosd.rpc.audit import AuditTrail
from llmosd.rpc.call_observer import CallObserver
from llmosd.rpc.dataset_servicer import DatasetServicer
from llmosd.rpc.evaluation_servicer import EvaluationServicer
from llmosd.rpc.feedback_servicer import FeedbackServicer
from llmosd.rpc.generation_servicer import GenerationServicer
from llmosd.rpc.interceptor import CallInterceptor
from llmosd.rpc.latent_servicer import LatentServicer
from llmosd.rpc.limits import CHANNEL_OPTIONS, TLS_OPTIONS, connection_options
from llmosd.rpc.model_servicer import ModelServicer
from llmosd.rpc.operation_servicers import OperationServicer, OperationsServicer
from llmosd.rpc.optimization_servicer import OptimizationServicer
from llmosd.rpc.scoring_servicer import ScoringServicer
from llmosd.rpc.sessions import Sessions
from llmosd.rpc.tokenization_servicer import TokenizationServicer
from llmosd.rpc.training_servicer import TrainingServicer
from llmosd.supervisor.pool import ModelPool
from llmosd.supervisor.resident import State

_MODULES = (
    access_service_pb2,
    admin_service_pb2,
    dataset_service_pb2,
    evaluation_service_pb2,
    feedback_service_pb2,
    generation_service_pb2,
    latent_service_pb2,
    model_service_pb2,
    operation_service_pb2,
    optimization_service_pb2,
    scoring_service_pb2,
    tokenization_service_pb2,
    training_service_pb2,
    lro,
)
SERVICE_NAMES = tuple(
    service.full_name
    for module in _MODULES
    for service in module.DESCRIPTOR.services_by_name.values()
)
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
# A model that is idle answers, after loading; so it serves.
_SERVING_STATES = frozenset({State.LOADED, State.IDLE})


@dataclass(frozen=True, slots=True)
class Servicers:
    """Everything the server serves."""

    generation: GenerationServicer
    scoring: ScoringServicer
    latent: LatentServicer
    tokenization: TokenizationServicer
    models: ModelServicer
    datasets: DatasetServicer
    operations: OperationsServicer
    operation: OperationServicer
    training: TrainingServicer
    evaluations: EvaluationServicer
    optimization: OptimizationServicer
    feedback: FeedbackServicer
    admin: AdminServicer
    access: AccessServicer


class Server:
    """What is served, and its health, on every listener that is opened."""

    def __init__(
        self,
        servicers: Servicers,
        pool: ModelPool,
        audit: AuditTrail,
        observer: CallObserver,
        sessions: Sessions,
        config: Config,
    ) -> None:
        """Build it; nothing is bound yet."""
        self._servicers = servicers
        self._pool = pool
        self._audit = audit
        self._observer = observer
        self._sessions = sessions
        self._stall_seconds = config.stall_timeout_seconds
        self._options = CHANNEL_OPTIONS + connection_options(
            config.max_connections, config.connection_idle_seconds
        )
        self._known: set[str] = set()
        self._health = health.aio.HealthServicer()
        self._servers: list[Any] = []

    def open(
        self, gate: Gate, address: str, credentials: Any = None, *, reflect: bool = True
    ) -> int:
        """Listen on unix:PATH or HOST:PORT, with TLS where there are credentials.

        Each listener has a gRPC server of its own: 0.5 MB, and the only way to tell by which socket
        a call came.

        Returns:
            The port.

        Raises:
            RuntimeError: the address cannot be had.
        """
        interceptor = CallInterceptor(
            gate, self._audit, self._observer, self._sessions, self._stall_seconds
        )
        options = self._options if credentials is None else self._options + TLS_OPTIONS
        server = grpc.aio.server(interceptors=[interceptor], options=options)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        _register(self._servicers, server)
        if reflect:
            names = (*SERVICE_NAMES, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, server)
        self._servers.append(server)
        if credentials is None:
            return int(server.add_insecure_port(address))
        return int(server.add_secure_port(address, credentials))

    async def start(self) -> None:
        """Serve; health says so."""
        for server in self._servers:
            await server.start()
        for name in ("", *SERVICE_NAMES):
            await self._health.set(name, _SERVING)
        await self.update_models()

    async def update_models(self) -> None:
        """Bring each model's health up to date; names are models/ID/versions/N and models/ID."""
        now: dict[str, bool] = {}
        for resident in self._pool.residents():
            serving = resident.state in _SERVING_STATES
            name = resident.record.name
            now[name] = serving
            parent = name.partition("/versions/")[0]
            now[parent] = now.get(parent, False) or serving
        for name in self._known - set(now):
            await self._health.set(name, _NOT_SERVING)
        for name, serving in now.items():
            await self._health.set(name, _SERVING if serving else _NOT_SERVING)
        self._known |= set(now)

    async def drain(self) -> None:
        """Say NOT_SERVING to whoever asks; calls are still answered."""
        await self._health.enter_graceful_shutdown()

    async def stop(self, grace: float) -> None:
        """Refuse new calls, end running ones after `grace` seconds."""
        await asyncio.gather(*(server.stop(grace) for server in self._servers))


def _register(servicers: Servicers, server: Any) -> None:
    generation_service_pb2_grpc.add_GenerationServiceServicer_to_server(
        servicers.generation, server
    )
    scoring_service_pb2_grpc.add_ScoringServiceServicer_to_server(servicers.scoring, server)
    latent_service_pb2_grpc.add_LatentServiceServicer_to_server(servicers.latent, server)
    tokenization_service_pb2_grpc.add_TokenizationServiceServicer_to_server(
        servicers.tokenization, server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(servicers.models, server)
    dataset_service_pb2_grpc.add_DatasetServiceServicer_to_server(servicers.datasets, server)
    operations_pb2_grpc.add_OperationsServicer_to_server(servicers.operations, server)
    operation_service_pb2_grpc.add_OperationServiceServicer_to_server(servicers.operation, server)
    training_service_pb2_grpc.add_TrainingServiceServicer_to_server(servicers.training, server)
    evaluation_service_pb2_grpc.add_EvaluationServiceServicer_to_server(
        servicers.evaluations, server
    )
    optimization_service_pb2_grpc.add_OptimizationServiceServicer_to_server(
        servicers.optimization, server
    )
    feedback_service_pb2_grpc.add_FeedbackServiceServicer_to_server(servicers.feedback, server)
    admin_service_pb2_grpc.add_AdminServiceServicer_to_server(servicers.admin, server)
    access_service_pb2_grpc.add_AccessServiceServicer_to_server(servicers.access, server)
