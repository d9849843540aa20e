"""Around every call: admit, parse, validate, run, translate errors, write down how it ended.

Requests come here as bytes and are parsed only once their caller was let through: who may not call
does not get to our parser.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc

from llmosd.errors import MalformedMessage
from llmosd.rpc import validation
from llmosd.rpc.access import Gate
from llmosd.rpc.audit import AuditTrail
from llmosd.rpc.call_observer import CallObserver
from llmosd.rpc.call_record import CallRecord
from llmosd.rpc.sessions import Sessions
from llmosd.rpc.stalls import Stall, paced


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the handlers of all four kinds of call that come by one plane."""

    def __init__(
        self,
        gate: Gate,
        audit: AuditTrail,
        observer: CallObserver,
        sessions: Sessions,
        stall_seconds: float,
    ) -> None:
        self._gate = gate
        self._audit = audit
        self._observer = observer
        self._sessions = sessions
        self._stall_seconds = stall_seconds

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: Any
    ) -> Any:
        """Replace the handler by one that keeps the rules; None means no such method."""
        handler = await continuation(details)
        if handler is None:
            return None
        make = _HANDLERS[handler.request_streaming, handler.response_streaming]
        call = handler.stream_stream or handler.stream_unary
        call = call or handler.unary_stream or handler.unary_unary
        wrap = _stream_response if handler.response_streaming else _unary_response
        door = _Door(
            self._gate,
            self._audit,
            self._observer,
            self._sessions,
            self._stall_seconds,
            details,
            handler,
        )
        return make(
            wrap(call, door),
            request_deserializer=None,
            response_serializer=handler.response_serializer,
        )


_HANDLERS = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


# People think before they go on, and so may programs.
_PATIENT = frozenset(
    {
        "/llmos.v1.GenerationService/Converse",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    }
)


def _unary_response(call: Any, door: "_Door") -> Any:
    async def run(request: Any, context: Any) -> Any:
        record = door.record(context)
        try:
            admitted = record.admit()
            return await call(await door.requests(request, record), admitted)
        except BaseException as error:
            await record.fail(error)
            raise
        finally:
            record.write()

    return run


def _stream_response(call: Any, door: "_Door") -> Any:
    async def run(request: Any, context: Any) -> AsyncIterator[Any]:
        record = door.record(context)
        stall = record.stall = Stall(door.stall_seconds, context)
        try:
            admitted = record.admit()
            answers = call(await door.requests(request, record), admitted)
            if inspect.isawaitable(answers):  # a handler that writes to the context itself
                await answers
                return
            try:
                async for answer in answers:
                    stall.arm()
                    record.writes()
                    yield answer
                    stall.disarm()
                    record.wrote()
            finally:
                stall.disarm()
                await answers.aclose()
        except BaseException as error:
            await record.fail(error)
            raise
        finally:
            record.write()

    return run


@dataclass(frozen=True, slots=True)
class _Door:
    """How the calls of one method come in."""

    gate: Gate
    audit: AuditTrail
    observer: CallObserver
    sessions: Sessions
    stall_seconds: float
    details: Any
    handler: Any

    def record(self, context: Any) -> CallRecord:
        """Begin the record of a call."""
        return CallRecord(
            self.gate, self.audit, self.observer, self.sessions, self.details, context
        )

    async def requests(self, given: Any, record: CallRecord) -> Any:
        """The request, or a stream's requests as an iterator: parsed and validated."""
        if self.handler.request_streaming:
            return self._stream(given, record)
        return await self._one(given, record)

    async def _stream(self, given: Any, record: CallRecord) -> AsyncIterator[Any]:
        if self.details.method in _PATIENT:
            messages = given
        else:
            upload = not self.handler.response_streaming
            messages = paced(given, self.stall_seconds, upload=upload)
        async for data in messages:
            yield await self._one(data, record)

    async def _one(self, data: bytes, record: CallRecord) -> Any:
        try:
            request = self.handler.request_deserializer(data)
        except Exception:  # noqa: BLE001 - whatever the parser raises on hostile bytes
            # Grpc would answer UNKNOWN with the exception's text.
            raise MalformedMessage("the request is not a message of the method's type") from None
        if request.DESCRIPTOR.full_name.startswith("llmos."):
            await validation.check(request)
        record.look_at(request)
        return request
