"""Who calls: what a call says beside its request."""

import re
import time
from dataclasses import dataclass
from typing import Any

from llmosd.config_checks import TENANT_NAME
from llmosd.errors import InvalidField

TENANT_KEY = "llmos-tenant"


class InsideCall:
    """What a servicer is given as the context of a call that a job in this daemon makes."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """Who the call is made for."""
        return ((TENANT_KEY, self._tenant),) if self._tenant else ()

    def time_remaining(self) -> None:
        """Tell how long the caller waits: for ever."""


class CallFor:
    """The context of a call whose tenant its token or certificate says: all of it but that."""

    def __init__(self, tenant: str, context: Any) -> None:
        self._tenant = tenant
        self._context = context

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """What the caller sent, with the tenant that it is."""
        sent = self._context.invocation_metadata() or ()
        rest = ((key, value) for key, value in sent if key != TENANT_KEY)
        return (*rest, (TENANT_KEY, self._tenant))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a call is made for, "" where it names nobody, and until when it is of use.

    The deadline is in time.monotonic() seconds; None: none. `proven` is a tenant that a token or
    certificate says.
    """

    tenant: str
    deadline: float | None
    proven: bool = False

    @property
    def owner(self) -> str | None:
        """Whose things the call may touch; None: anybody's."""
        return self.tenant if self.proven else None

    def call(self) -> InsideCall:
        """The context of a call for the same tenant, that may take any time."""
        return InsideCall(self.tenant)

    @classmethod
    def of(cls, context: Any) -> "Caller":
        """Read a call's metadata and deadline.

        Raises:
            InvalidField: when the tenant is no name.
        """
        tenant = str(dict(context.invocation_metadata() or ()).get(TENANT_KEY, ""))
        if tenant and not re.fullmatch(TENANT_NAME, tenant):
            raise InvalidField.of(TENANT_KEY, "must be 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-'")
        remaining = context.time_remaining()
        deadline = None if remaining is None else time.monotonic() + remaining
        return cls(tenant, deadline, isinstance(context, CallFor))
