"""Around every call: parse, validate, run, translate errors, write one canonical log line."""

import asyncio
import inspect
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import structlog

from llmosd.errors import InternalError, LlmosError, MalformedMessage
from llmosd.rpc import status, validation

_log = structlog.get_logger()
_LONGEST_ID = 64
# Standard services whose messages carry no rules of ours, and whose calls are not worth a line.
_QUIET = ("/grpc.health.", "/grpc.reflection.")


class _Malformed:
    """What the deserializer gives for bytes that are no message."""


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the handlers of all four kinds of call."""

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
        return make(
            wrap(call, details, streaming=handler.request_streaming),
            request_deserializer=_never_raising(handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )


_HANDLERS = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def _unary_response(call: Any, details: Any, *, streaming: bool) -> Any:
    async def run(request: Any, context: Any) -> Any:
        record = _CallRecord(details, context)
        try:
            return await call(await _checked(request, streaming=streaming), context)
        except BaseException as error:
            await record.fail(error)
            raise
        finally:
            record.write()

    return run


def _stream_response(call: Any, details: Any, *, streaming: bool) -> Any:
    async def run(request: Any, context: Any) -> AsyncIterator[Any]:
        record = _CallRecord(details, context)
        try:
            answers = call(await _checked(request, streaming=streaming), context)
            if inspect.isawaitable(answers):  # a handler that writes to the context itself
                await answers
                return
            try:
                async for answer in answers:
                    yield answer
            finally:
                await answers.aclose()
        except BaseException as error:
            await record.fail(error)
            raise
        finally:
            record.write()

    return run


async def _checked(request: Any, *, streaming: bool) -> Any:
    return _checked_stream(request) if streaming else await _check(request)


async def _checked_stream(requests: Any) -> AsyncIterator[Any]:
    async for request in requests:
        yield await _check(request)


async def _check(request: Any) -> Any:
    if isinstance(request, _Malformed):
        raise MalformedMessage("the request is not a message of the method's type")
    if request.DESCRIPTOR.full_name.startswith("llmos."):
        await validation.check(request)
    return request


def _never_raising(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Grpc would answer UNKNOWN with the exception's text; INVALID_ARGUMENT is due."""

    def run(data: bytes) -> Any:
        try:
            return deserialize(data)
        except Exception:  # noqa: BLE001 - whatever the parser raises on hostile bytes
            return _Malformed()

    return run


class _CallRecord:
    """The call's identity, outcome and log line."""

    def __init__(self, details: Any, context: Any) -> None:
        self._context = context
        self._method = details.method
        self._began = time.monotonic()
        self._code = grpc.StatusCode.OK
        self._reason = ""
        metadata = dict(details.invocation_metadata or ())
        given = str(metadata.get("x-request-id", ""))
        known = 0 < len(given) <= _LONGEST_ID and given.isascii() and given.isprintable()
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=given if known else uuid.uuid4().hex)

    async def fail(self, error: BaseException) -> None:
        """Turn an exception into the call's status; does not return where one is sent."""
        if isinstance(error, GeneratorExit | asyncio.CancelledError):
            self._code = grpc.StatusCode.CANCELLED
            return
        if isinstance(error, grpc.aio.AbortError):
            return
        if not isinstance(error, LlmosError):
            _log.exception("call_crashed", method=self._method)
            error = InternalError("an internal error; the daemon's log has it under this request")
        self._code, self._reason = status.code_of(error), error.reason
        await self._context.abort(
            self._code, error.message[:512], trailing_metadata=status.trailers(error)
        )

    def write(self) -> None:
        """The canonical line."""
        if not self._method.startswith(_QUIET):
            seconds = round(time.monotonic() - self._began, 6)
            outcome = {"reason": self._reason} if self._reason else {}
            _log.info("call", method=self._method, code=self._code.name, seconds=seconds, **outcome)
