"""Who calls: what a call says beside its request."""

import re
import time
from dataclasses import dataclass
from typing import Any

from llmosd.config import TENANT_NAME
from llmosd.errors import InvalidField

TENANT_KEY = "llmos-tenant"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a call is made for, "" where it names nobody, and until when it is of use.

    The deadline is in time.monotonic() seconds; None: none.
    """

    tenant: str
    deadline: float | None

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
        return cls(tenant, None if remaining is None else time.monotonic() + remaining)
