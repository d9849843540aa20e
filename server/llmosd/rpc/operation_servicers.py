"""google.longrunning.Operations, and llmos.v1.OperationService, which can be followed."""

import re
from collections.abc import AsyncIterator
from typing import Any

from google.longrunning import operations_pb2_grpc
from google.longrunning import operations_proto_pb2 as lro
from google.protobuf import empty_pb2

from llmos.v1 import operation_service_pb2 as pb
from llmos.v1 import operation_service_pb2_grpc
from llmosd.errors import InvalidField
from llmosd.operations.manager import OperationManager
from llmosd.rpc import convert, paging, resources

_NAME = re.compile(r"operations/([a-z0-9-]{1,64})")
_HEARTBEAT_SECONDS = 5.0
_LONGEST_WAIT = 3600.0
# The largest number the catalog can hold.
_LAST_SEQUENCE = 2**63 - 1


class OperationsServicer(operations_pb2_grpc.OperationsServicer):
    """The standard interface; its messages carry no rules, so names are checked here."""

    def __init__(self, operations: OperationManager) -> None:
        self._operations = operations

    async def ListOperations(
        self, request: lro.ListOperationsRequest, _context: Any
    ) -> lro.ListOperationsResponse:
        """Operations, newest first."""
        if request.filter:
            raise InvalidField.of("filter", "is not offered; leave it empty")
        size = paging.size(request.page_size)
        at = paging.position(request.page_token, 1)
        after = paging.number(at[0]) if at else None
        found = self._operations.page(size + 1, after)
        response = lro.ListOperationsResponse(
            operations=[resources.operation(record, self._operations) for record in found[:size]]
        )
        if len(found) > size:
            response.next_page_token = paging.token(found[size - 1].position)
        return response

    async def GetOperation(self, request: lro.GetOperationRequest, _context: Any) -> lro.Operation:
        """One operation."""
        record = self._operations.get(_identifier(request.name))
        return resources.operation(record, self._operations)

    async def DeleteOperation(
        self, request: lro.DeleteOperationRequest, _context: Any
    ) -> empty_pb2.Empty:
        """Forget an ended operation."""
        self._operations.delete(_identifier(request.name))
        return empty_pb2.Empty()

    async def CancelOperation(
        self, request: lro.CancelOperationRequest, _context: Any
    ) -> empty_pb2.Empty:
        """Ask an operation to stop."""
        self._operations.cancel(_identifier(request.name))
        return empty_pb2.Empty()

    async def WaitOperation(
        self, request: lro.WaitOperationRequest, _context: Any
    ) -> lro.Operation:
        """The operation when it ends, or after the timeout."""
        seconds = _LONGEST_WAIT
        if request.HasField("timeout"):
            seconds = convert.seconds("timeout", request.timeout)
        identifier = _identifier(request.name)
        self._operations.get(identifier)
        record = await self._operations.wait(identifier, max(0.0, min(seconds, _LONGEST_WAIT)))
        return resources.operation(record, self._operations)


class OperationServicer(operation_service_pb2_grpc.OperationServiceServicer):
    """Following an operation."""

    def __init__(self, operations: OperationManager) -> None:
        self._operations = operations

    async def WatchOperation(
        self, request: pb.WatchOperationRequest, _context: Any
    ) -> AsyncIterator[pb.OperationEvent]:
        """Events after a sequence number, then new ones as they come."""
        identifier = _identifier(request.name)
        after = min(request.after_sequence, _LAST_SEQUENCE)
        events = self._operations.watch(identifier, after, _HEARTBEAT_SECONDS)
        async for item in events:
            yield resources.operation_event(item, self._operations)

    async def PauseOperation(
        self, request: pb.PauseOperationRequest, _context: Any
    ) -> lro.Operation:
        """Let a job save and wait."""
        record = self._operations.pause(_identifier(request.name))
        return resources.operation(record, self._operations)

    async def ResumeOperation(
        self, request: pb.ResumeOperationRequest, _context: Any
    ) -> lro.Operation:
        """Queue a paused job again."""
        record = self._operations.resume(_identifier(request.name))
        return resources.operation(record, self._operations)


def _identifier(name: str) -> str:
    match = _NAME.fullmatch(name)
    if match is None:
        raise InvalidField.of("name", "must be operations/ID")
    return match[1]
