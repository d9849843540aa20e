"""What the sync client's methods stand on: calls carried out, uploads, operations followed."""

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import grpc

from llmos_client import calls, parsing_operations, results
from llmos_client.address import resolve
from llmos_client.credentials import credentials
from llmos_client.errors import LlmosError
from llmos_client.streams import EventStream
from llmos_client.transport import CallContext, Stubs, open_channel
from llmos_client.upload import OnProgress, Uploading
from llmos_client.watching import Watch

T = TypeVar("T")


class Connection:
    """A channel to the daemon, and operations, which every other service returns."""

    def __init__(
        self,
        address: str | None = None,
        *,
        timeout: float = 30.0,
        tenant: str = "",
        token: str | None = None,
        tls_ca: str | None = None,
        tls_cert: str | None = None,
        tls_key: str | None = None,
    ) -> None:
        self.address = resolve(address)
        self._credentials = credentials(token, tls_ca, tls_cert, tls_key)
        self._credentials.check(self.address)
        self._tenant = tenant
        self._timeout = timeout
        self._channel = open_channel(self.address, self._credentials)
        self._stubs = Stubs(self._channel)

    def close(self) -> None:
        """Close the connection; calls that run are cancelled."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def get_operation(self, name: str) -> results.Operation[Any]:
        """Get an operation."""
        return self._call(calls.get_operation(name))

    def list_operations(self) -> list[results.Operation[Any]]:
        """List the operations that are kept."""
        operations, token = self._call(calls.list_operations(""))
        while token:
            page, token = self._call(calls.list_operations(token))
            operations += page
        return operations

    def cancel_operation(self, name: str) -> None:
        """Ask an operation to stop."""
        self._call(calls.cancel_operation(name))

    def delete_operation(self, name: str) -> None:
        """Forget an operation that has ended."""
        self._call(calls.delete_operation(name))

    def watch_operation(
        self, name: str, *, after_sequence: int = 0
    ) -> Iterator[results.OperationEvent]:
        """Follow an operation to its end, connecting again while the daemon is away."""
        watch = Watch(name, after_sequence)
        while not watch.done:
            error: LlmosError | None = None
            with self._open_watch(watch) as events:
                try:
                    yield from events
                except LlmosError as raised:
                    error = raised
            if not watch.done:
                time.sleep(watch.delay_after(error))

    def wait_operation(
        self,
        operation: results.Operation[T],
        on_progress: OnProgress | None = None,
    ) -> results.Operation[T]:
        """Wait for an operation's end; result() of what is returned has its outcome."""
        if operation.done:
            return operation
        for event in self.watch_operation(operation.name):
            if event.progress is not None and on_progress is not None:
                on_progress(event.progress)
            if event.done is not None:
                return cast("results.Operation[T]", event.done)
        raise AssertionError("watch_operation ends with the event that has `done`")

    def _context(self) -> CallContext:
        return CallContext.new(self.address, self._tenant, self._credentials.token)

    def _call(self, call: calls.Call[T]) -> T:
        context = self._context()
        method = getattr(getattr(self._stubs, call.service), call.method)
        timeout = self._timeout if call.small else call.timeout
        try:
            response = method(call.request, timeout=timeout, metadata=context.metadata)
        except grpc.RpcError as error:
            raise context.error(error) from error
        return call.parse(response)

    def _upload(self, uploading: Uploading) -> results.Operation[Any]:
        context = self._context()
        # As a future, so that an interrupted upload is cancelled and not merely forgotten.
        method = getattr(getattr(self._stubs, uploading.service), uploading.method)
        call = method.future(iter(uploading), metadata=context.metadata)
        try:
            return parsing_operations.operation(call.result())
        except grpc.RpcError as error:
            raise uploading.failure or context.error(error) from error
        finally:
            call.cancel()

    def _open_watch(self, watch: Watch) -> EventStream[results.OperationEvent]:
        context = self._context()
        call = self._stubs.watching.WatchOperation(watch.request(), metadata=context.metadata)
        return EventStream(call, watch.accept, context)
