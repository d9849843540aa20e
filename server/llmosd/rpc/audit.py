"""What the audit log says of a call: who, what, on which names, and how it ended. Never content."""

import re
import time
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from llmosd.roles import Role
from llmosd.rpc.access import Principal
from llmosd.rpc.policy import audited, rule_of

_log = structlog.get_logger()
# Fields that name something. Others may hold what people wrote.
_NAMING = frozenset({
    "alias", "dataset", "dataset_id", "evaluation", "model", "model_id", "model_version", "name",
    "operation", "output_dataset_id", "output_model_id", "parent", "tenant", "version",
})  # fmt: skip
# Names of ours look so; a sentence in the place of a name does not, and is left out.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@/-]{0,159}")
# How a call ends that changed nothing, so that its line may be lost when the power goes.
_UNCHANGED = frozenset({"INVALID_ARGUMENT", "NOT_FOUND", "PERMISSION_DENIED", "UNAUTHENTICATED"})
# Asked for several times a minute for ever: it would push the rest out.
_UNNOTED = frozenset({"/llmos.v1.AdminService/GetMetrics"})
# Of one caller: whoever floods the daemon with such calls must not push the rest out of the log.
_MOST_REFUSED_PER_SECOND = 20


class Sink(Protocol):
    """Where lines go; see store.audit.AuditFile."""

    def append(self, entry: dict[str, Any], *, durable: bool) -> None:
        """Write one line; raises OSError."""


class AuditTrail:
    """Writes down the calls above the role use, and those that were refused."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._second = 0
        self._refused: dict[str, int] = {}
        self._left_out = 0

    def write(
        self,
        method: str,
        principal: Principal,
        outcome: dict[str, Any],
        names: dict[str, str],
        *,
        refused: bool,
    ) -> None:
        """Note the end of a call, if it is one of those; on disk at once if it changed things."""
        rule = audited(rule_of(method))
        if (rule.role <= Role.USE or method in _UNNOTED) and not refused:
            return
        if refused and not self._has_room(principal.name):
            return
        entry: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "plane": principal.plane,
            "caller": principal.name,
            "role": principal.role.word,
            "tenant": principal.tenant or "",
            "method": method,
            **({"names": names} if names else {}),
            **outcome,
        }
        if self._left_out and not refused:
            entry["refused_calls_left_out"], self._left_out = self._left_out, 0
        durable = rule.changes and outcome["code"] not in _UNCHANGED
        try:
            self._sink.append(entry, durable=durable)
        except OSError as error:
            # The change is made; that it could not be noted is for whoever watches the log.
            _log.error("audit_not_written", error=error.strerror or "", entry=entry)

    def _has_room(self, caller: str) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._refused = second, {}
        count = self._refused[caller] = self._refused.get(caller, 0) + 1
        if count <= _MOST_REFUSED_PER_SECOND:
            return True
        self._left_out += 1
        return False


def names_in(message: Any) -> dict[str, str]:
    """The names in a request, and in the messages right inside it, by their field's path."""
    found = _own_names(message, "")
    for field, value in message.ListFields():
        if field.message_type is not None and not field.is_repeated:
            found |= _own_names(value, f"{field.name}.")
    return found


def _own_names(message: Any, prefix: str) -> dict[str, str]:
    return {
        f"{prefix}{field.name}": value
        for field, value in message.ListFields()
        if field.name in _NAMING and isinstance(value, str) and _NAME.fullmatch(value)
    }
