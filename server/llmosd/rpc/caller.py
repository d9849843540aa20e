"""Who calls: what a call's metadata says beside its request."""

import re
from typing import Any

from llmosd.errors import InvalidField

TENANT_KEY = "llmos-tenant"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def tenant_of(context: Any) -> str:
    """The tenant a call is made for; "" where it names none.

    Raises:
        InvalidField: when it is no name.
    """
    given = dict(context.invocation_metadata() or ()).get(TENANT_KEY, "")
    if given and not _NAME.fullmatch(given):
        raise InvalidField.of(TENANT_KEY, "must be 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-'")
    return str(given)
