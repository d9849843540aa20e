"""What the asyncio client's methods stand on: calls carried out, uploads, operations followed."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import grpc

from llmos_client import calls, parsing_operations, results
from llmos_client.address import resolve
from llmos_client.aio_streams import AsyncEventStream
from llmos_client.credentials import credentials
from llmos_client.errors import LlmosError
from llmos_client.transport import CallContext, Stubs, open_aio_channel
from llmos_client.upload import OnProgress, Uploading
from llmos_client.watching import Watch

T = TypeVar("T")


class AsyncConnection:
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
        self._channel: Any = None
        self._connected: Stubs | None = None

    @property
    def _stubs(self) -> Stubs:
        # A channel belongs to the loop it is opened in: open it with the first call.
        if self._connected is None:
            self._channel = open_aio_channel(self.address, self._credentials)
            self._connected = Stubs(self._channel)
        return self._connected

    async def close(self) -> None:
        """Close the connection; calls that run are cancelled."""
        if self._channel is not None:
            await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def get_operation(self, name: str) -> results.Operation[Any]:
        """Get an operation."""
        return await self._call(calls.get_operation(name))

    async def list_operations(self) -> list[results.Operation[Any]]:
        """List the operations that are kept."""
        operations, token = await self._call(calls.list_operations(""))
        while token:
            page, token = await self._call(calls.list_operations(token))
            operations += page
        return operations

    async def cancel_operation(self, name: str) -> None:
        """Ask an operation to stop."""
        await self._call(calls.cancel_operation(name))

    async def delete_operation(self, name: str) -> None:
        """Forget an operation that has ended."""
        await self._call(calls.delete_operation(name))

    async def watch_operation(
        self, name: str, *, after_sequence: int = 0
    ) -> AsyncGenerator[results.OperationEvent, None]:
        """Follow an operation to its end, connecting again while the daemon is away."""
        watch = Watch(name, after_sequence)
        while not watch.done:
            error: LlmosError | None = None
            async with self._open_watch(watch) as events:
                try:
                    async for event in events:
                        yield event
                except LlmosError as raised:
                    error = raised
            if not watch.done:
                await asyncio.sleep(watch.delay_after(error))

    async def wait_operation(
        self,
        operation: results.Operation[T],
        on_progress: OnProgress | None = None,
    ) -> results.Operation[T]:
        """Wait for an operation's end; result() of what is returned has its outcome."""
        if operation.done:
            return operation
        async with aclosing(self.watch_operation(operation.name)) as events:
            async for event in events:
                if event.progress is not None and on_progress is not None:
                    on_progress(event.progress)
                if event.done is not None:
                    return cast("results.Operation[T]", event.done)
        raise AssertionError("watch_operation ends with the event that has `done`")

    def _context(self) -> CallContext:
        return CallContext.new(self.address, self._tenant, self._credentials.token)

    async def _call(self, call: calls.Call[T]) -> T:
        context = self._context()
        method = getattr(getattr(self._stubs, call.service), call.method)
        timeout = self._timeout if call.small else call.timeout
        try:
            response = await method(call.request, timeout=timeout, metadata=context.metadata)
        except grpc.RpcError as error:
            raise context.error(error) from error
        return call.parse(response)

    async def _upload(self, uploading: Uploading) -> results.Operation[Any]:
        context = self._context()
        messages = _in_thread(iter(uploading))
        method = getattr(getattr(self._stubs, uploading.service), uploading.method)
        call = method(messages, metadata=context.metadata)
        try:
            return parsing_operations.operation(await call)
        except grpc.RpcError as error:
            raise uploading.failure or context.error(error) from error
        finally:
            call.cancel()

    def _open_watch(self, watch: Watch) -> AsyncEventStream[results.OperationEvent]:
        context = self._context()
        call = self._stubs.watching.WatchOperation(watch.request(), metadata=context.metadata)
        return AsyncEventStream(call, watch.accept, context)


async def _in_thread(messages: Iterator[Any]) -> AsyncIterator[Any]:
    # Reading a file from a cold disk must not stop the loop.
    while (message := await asyncio.to_thread(next, messages, None)) is not None:
        yield message
