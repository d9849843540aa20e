"""One call: its identity, its outcome, its line in the log and, if it is due, in the audit log."""

import asyncio
import time
import uuid
from typing import Any

import grpc
import structlog

from llmosd.errors import (
    InternalError,
    LimitExceeded,
    LlmosError,
    PermissionDenied,
    Unauthenticated,
)
from llmosd.full_disk import is_full, no_room
from llmosd.observing.trace_context import trace_context
from llmosd.operations.owner import act_for
from llmosd.roles import Role
from llmosd.rpc import status
from llmosd.rpc.access import Gate
from llmosd.rpc.audit import AuditTrail, names_in
from llmosd.rpc.call_observer import CallObserver
from llmosd.rpc.caller import CallFor
from llmosd.rpc.policy import rule_of
from llmosd.rpc.sessions import Session, Sessions
from llmosd.rpc.stalls import Stall
from llmosd.store.records import now

_log = structlog.get_logger()
_LONGEST_ID = 64
# Calls that are not worth a line: those that machines make all the time.
_QUIET = ("/grpc.health.", "/grpc.reflection.", "/llmos.v1.AdminService/GetMetrics")


class CallRecord:
    """Made when a call begins; `admit` first, `write` last."""

    def __init__(
        self,
        gate: Gate,
        audit: AuditTrail,
        observer: CallObserver,
        sessions: Sessions,
        details: Any,
        context: Any,
    ) -> None:
        self._gate = gate
        self._audit = audit
        self._observer = observer
        self._sessions = sessions
        self._session: Session | None = None
        self.stall: Stall | None = None
        self._context = context
        self._method = details.method
        self._metadata = details.invocation_metadata
        self._began = time.monotonic()
        self._code = grpc.StatusCode.OK
        self._reason = ""
        self._refused = False
        self._written = False
        self._names: dict[str, str] = {}
        self._principal = gate.anybody()
        given = str(dict(self._metadata or ()).get("x-request-id", ""))
        known = 0 < len(given) <= _LONGEST_ID and given.isascii() and given.isprintable()
        self._request_id = given if known else uuid.uuid4().hex
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=self._request_id)
        trace = trace_context(self._metadata or ())
        if trace is not None:
            structlog.contextvars.bind_contextvars(trace_id=trace.trace_id)
        self._span = observer.begin(self._method, trace)

    def admit(self) -> Any:
        """Find out who calls; returns the context for the servicer, which has the caller's tenant.

        Raises:
            Unauthenticated: nobody knows who it is.
            PermissionDenied: it may not do this, or says it is somebody else.
        """
        rule = rule_of(self._method)
        if rule is not None and rule.role is Role.NONE:
            return self._context
        try:
            asked = {} if self._gate.plane.trusted else self._context.auth_context()
            self._principal = self._gate.identify(self._metadata, asked, self._context.peer())
            self._gate.authorize(self._method, self._principal, self._metadata)
        except (Unauthenticated, PermissionDenied, LimitExceeded):
            self._refused = True
            raise
        act_for(self._principal.owner)
        self._hold()
        if self._principal.tenant is None:
            return self._context
        return CallFor(self._principal.tenant, self._context)

    def _hold(self) -> None:
        """See that the call ends with its token."""
        if self._principal.token_id:
            ends, seconds = self._principal.expire_time, None
            if ends is not None:
                seconds = (ends - now()).total_seconds()
            self._session = self._sessions.begin(self._principal.token_id, seconds)

    def writes(self) -> None:
        """An answer of a stream is given to the connection."""
        if self._session is not None:
            self._session.writing = True

    def wrote(self) -> None:
        """It was taken; raises CancelledError where the call's token ended meanwhile."""
        if self._session is not None:
            self._session.writing = False
            if self._session.over:
                raise asyncio.CancelledError

    def look_at(self, request: Any) -> None:
        """Remember what a request names; the first of a stream says it for all."""
        if not self._names and not self._method.startswith(_QUIET):
            self._names = names_in(request)

    async def fail(self, error: BaseException) -> None:
        """Turn an exception into the call's status; does not return where one is sent."""
        ended = self._session.over if self._session is not None else ""
        if ended and isinstance(error, asyncio.CancelledError):
            error = Unauthenticated(f"the token was {ended} while the call ran")
        if self.stall is not None and self.stall.over:
            # Nobody reads how it ended either; gRPC ends the stream.
            stalled = self.stall.error()
            self._code, self._reason = status.code_of(stalled), stalled.reason
            return
        if isinstance(error, GeneratorExit | asyncio.CancelledError):
            self._code = grpc.StatusCode.CANCELLED
            return
        if isinstance(error, grpc.aio.AbortError):
            return
        if not isinstance(error, LlmosError) and is_full(error):
            _log.error("disk_full", method=self._method, error=str(error))
            error = no_room()
        if not isinstance(error, LlmosError):
            _log.exception("call_crashed", method=self._method)
            error = InternalError("an internal error; the daemon's log has it under this request")
        self._code, self._reason = status.code_of(error), error.reason
        self.write()  # before the caller hears of it
        await self._context.abort(
            self._code, error.message[:512], trailing_metadata=status.trailers(error)
        )

    def write(self) -> None:
        """The canonical line, and the audit log's; once."""
        if self._written:
            return
        self._written = True
        if self._session is not None:
            self._sessions.leave(self._session)
        seconds = round(time.monotonic() - self._began, 6)
        outcome: dict[str, Any] = {"code": self._code.name, "seconds": seconds}
        if self._reason:
            outcome["reason"] = self._reason
        model = self._names.get("model", "")
        self._observer.end(self._span, self._method, self._code, self._reason, seconds, model)
        self._audit.write(
            self._method,
            self._principal,
            {**outcome, "request_id": self._request_id},
            self._names,
            refused=self._refused,
        )
        if not self._method.startswith(_QUIET):
            who = {"caller": self._principal.name} if self._principal.name else {}
            _log.info("call", method=self._method, **outcome, **who)
