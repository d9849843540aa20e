# ruff: noqa: N802 - the contract's names
"""A daemon that does what a test scripts: real gRPC on a Unix socket, no models.

Written with the synchronous gRPC server: its threads do not mind which loop a test runs.
"""

from concurrent.futures import ThreadPoolExecutor

import grpc
from fake_generation import FakeGeneration
from fake_models import FakeModels
from fake_status import abort, make_status
from google.longrunning import operations_pb2_grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from llmos.v1 import (
    admin_service_pb2,
    admin_service_pb2_grpc,
    generation_service_pb2_grpc,
    model_service_pb2_grpc,
    operation_service_pb2_grpc,
    tokenization_service_pb2,
    tokenization_service_pb2_grpc,
)


class FakeDaemon(
    FakeGeneration,
    FakeModels,
    generation_service_pb2_grpc.GenerationServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
    tokenization_service_pb2_grpc.TokenizationServiceServicer,
    operation_service_pb2_grpc.OperationServiceServicer,
    admin_service_pb2_grpc.AdminServiceServicer,
    operations_pb2_grpc.OperationsServicer,
):
    """Servicer of everything. `fail[method]` is a status to refuse a method with."""

    def __init__(self, socket):
        super().__init__()
        self.socket = socket
        self.address = f"unix:{socket}"
        self.fail = {}
        self.calls = []  # (method, request)
        self.metadata = []
        self.loads = []  # what WatchLoad answers
        self._server = None

    def __enter__(self):
        self._server = grpc.server(
            ThreadPoolExecutor(32),
            options=[("grpc.http2.min_ping_interval_without_data_ms", 1000)],
        )
        for module in (
            generation_service_pb2_grpc.add_GenerationServiceServicer_to_server,
            model_service_pb2_grpc.add_ModelServiceServicer_to_server,
            tokenization_service_pb2_grpc.add_TokenizationServiceServicer_to_server,
            operation_service_pb2_grpc.add_OperationServiceServicer_to_server,
            admin_service_pb2_grpc.add_AdminServiceServicer_to_server,
            operations_pb2_grpc.add_OperationsServicer_to_server,
        ):
            module(self, self._server)
        self.health = health.HealthServicer()
        self.health.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self._server)
        self._server.add_insecure_port(self.address)
        self._server.start()
        return self

    def __exit__(self, *_):
        self.release.set()
        self._server.stop(None).wait()

    def seen(self, method):
        return [request for name, request in self.calls if name == method]

    def check(self, method, request, context):
        """Note the call, and refuse it where the test says so."""
        self.calls.append((method, request))
        self.metadata.append(dict(context.invocation_metadata()))
        if method in self.fail:
            abort(context, self.fail[method])

    def find(self, name, context):
        """The version a name means."""
        plain = name.removeprefix("models/")
        model = plain.partition("/")[0].partition("@")[0]
        found = [v for v in self.versions.values() if v.name.split("/")[1] == model]
        if not found:
            message = f'model "{model}" is not installed'
            abort(context, make_status("NOT_FOUND", message, "MODEL_NOT_FOUND"))
        exact = [v for v in found if v.name == f"models/{plain}"]
        return exact[0] if exact else found[-1]

    # TokenizationService and AdminService

    def Tokenize(self, request, context):
        self.check("Tokenize", request, context)
        self.find(request.model, context)
        tokens = [{"id": b, "bytes": bytes([b])} for b in request.text.encode()]
        return tokenization_service_pb2.TokenizeResponse(tokens=tokens)

    def Detokenize(self, request, context):
        self.check("Detokenize", request, context)
        return tokenization_service_pb2.DetokenizeResponse(text=bytes(request.ids).decode())

    def RenderChat(self, request, context):
        self.check("RenderChat", request, context)
        text = "".join(f"<{m.role}>{m.content}" for m in request.chat.messages)
        return tokenization_service_pb2.RenderChatResponse(text=text, ids=text.encode())

    def WatchLoad(self, request, context):
        self.check("WatchLoad", request, context)
        yield from self.loads

    def GetServerInfo(self, request, context):
        self.check("GetServerInfo", request, context)
        info = admin_service_pb2.GetServerInfoResponse(
            version="0.1.0",
            pid=4241,
            api_versions=["llmos.v1"],
            cpu_count=2,
            models_loaded=1,
            memory_total_bytes=8 << 30,
            memory_available_bytes=5 << 30,
            resident_bytes=700_000_000,
            generations=3,
            architectures=["llama", "gpt2"],
            limits={"max_message_bytes": 4 << 20, "max_queue": 64, "max_choices": 16},
        )
        info.uptime.FromSeconds(3725)
        return info
