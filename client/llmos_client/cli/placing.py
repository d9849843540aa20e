"""Which daemon a command calls, and as whom: flags, then the environment, then a context."""

import os
from collections.abc import Mapping
from typing import Any

from llmos_client import contexts, credentials
from llmos_client.address import ENVIRONMENT
from llmos_client.cli.options import Settings
from llmos_client.contexts import Context

CONTEXT = "LLMOS_CONTEXT"


def chosen(
    settings: Settings, environ: Mapping[str, str] = os.environ
) -> tuple[str, Context] | None:
    """The context that a command is in, and its name; None: in none.

    An address of its own, by flag or environment, is another place: the context in use, with its
    token, does not go there. One that is named does.

    Raises:
        InvalidContextError: it is not there, or cannot be read.
    """
    name = settings.context or environ.get(CONTEXT, "")
    if not name and (settings.address or environ.get(ENVIRONMENT)):
        return None
    known = contexts.load(contexts.location(environ))
    name = name or known.current
    return (name, known.get(name)) if name else None


def place(settings: Settings, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """What Client is given. A context that a flag names wins over the environment, too."""
    found = chosen(settings, environ)
    values: dict[str, Any] = {
        "address": settings.address,
        "token": settings.token,
        "tls_ca": settings.tls_ca,
        "tls_cert": settings.tls_cert,
        "tls_key": settings.tls_key,
    }
    if found is None:
        return values
    name, context = found
    variables = {
        "address": ENVIRONMENT,
        "token": credentials.TOKEN,
        "tls_ca": credentials.CA,
        "tls_cert": credentials.CERT,
        "tls_key": credentials.KEY,
    }
    for key, variable in variables.items():
        if values[key] is None and (settings.context or not environ.get(variable)):
            own = context.token(name) if key == "token" else getattr(context, key)
            values[key] = own or None
    return {**values, "tenant": context.tenant}
