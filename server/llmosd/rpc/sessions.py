"""Calls that run with a token: they end when it is revoked, or its time is over."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field


@dataclass(eq=False, slots=True)
class Session:
    """One call. `over` says why it was ended: "revoked" or "expired"."""

    token_id: str
    task: "asyncio.Task[object]"
    over: str = ""
    timer: asyncio.TimerHandle | None = field(default=None)
    writing: bool = False

    def end(self, why: str) -> None:
        """End the call: its handler is cancelled, but not while gRPC writes an answer.

        Then gRPC would forget the call, and its caller would wait for ever.
        """
        self.over = why
        if not self.writing:
            self.task.cancel()


class Sessions:
    """All calls that run with tokens, by the token's id."""

    def __init__(self) -> None:
        self._sessions: defaultdict[str, set[Session]] = defaultdict(set)

    def begin(self, token_id: str, seconds: float | None) -> Session:
        """Count the call that this task answers; its token is good for so long, None: for ever."""
        task = asyncio.current_task()
        assert task is not None
        session = Session(token_id, task)
        if seconds is not None:
            loop = asyncio.get_running_loop()
            session.timer = loop.call_later(max(0.0, seconds), session.end, "expired")
        self._sessions[token_id].add(session)
        return session

    def leave(self, session: Session) -> None:
        """The call is over."""
        if session.timer is not None:
            session.timer.cancel()
        self._sessions[session.token_id].discard(session)
        if not self._sessions[session.token_id]:
            del self._sessions[session.token_id]

    def revoke(self, token_id: str) -> None:
        """End every call of a token."""
        for session in list(self._sessions.get(token_id, ())):
            session.end("revoked")
