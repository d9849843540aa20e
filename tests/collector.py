"""A collector of traces, as OpenTelemetry's: takes what the daemon sends, and keeps it."""

from concurrent.futures import ThreadPoolExecutor

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """In a `with` block; `spans` are all that came."""

    def __init__(self, address):
        self.address = address
        self.spans = []

    def __enter__(self):
        self._server = grpc.server(ThreadPoolExecutor(2))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self._server)
        self._server.add_insecure_port(self.address)
        self._server.start()
        return self

    def __exit__(self, *_):
        self._server.stop(None).wait()

    def Export(self, request, _context):  # noqa: N802 - the method's name
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans += scope.spans
        return trace_service_pb2.ExportTraceServiceResponse()

    def find(self, **attributes):
        """The spans that have these attributes, `__` for `.`."""
        wanted = {name.replace("__", "."): value for name, value in attributes.items()}
        return [span for span in self.spans if wanted.items() <= attributes_of(span).items()]


def attributes_of(span):
    """As plain values."""
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes
    }
