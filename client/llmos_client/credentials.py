"""Who a client says it is: by a token or a certificate, given or from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from llmos_client.address import Address
from llmos_client.errors import InvalidCredentialsError

TOKEN = "LLMOS_TOKEN"  # noqa: S105 - a variable's name
CA, CERT, KEY = "LLMOS_TLS_CA", "LLMOS_TLS_CERT", "LLMOS_TLS_KEY"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The token, "" for none, and the files' contents; without a CA, those of the system hold."""

    token: str = field(default="", repr=False)
    tls_ca: bytes | None = field(default=None, repr=False)
    tls_cert: bytes | None = field(default=None, repr=False)
    tls_key: bytes | None = field(default=None, repr=False)

    def check(self, address: Address) -> None:
        """See that nothing secret would be sent in the clear; raises InvalidCredentialsError."""
        if self.token and address.leaves_the_machine and not address.secure:
            raise InvalidCredentialsError(
                f"a token is not sent to {address} in the clear; write tls:{address}, or leave "
                f"the token ({TOKEN}) out"
            )


def credentials(
    token: str | None = None,
    tls_ca: str | None = None,
    tls_cert: str | None = None,
    tls_key: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Credentials:
    """Take what is given, else LLMOS_TOKEN and LLMOS_TLS_CA, _CERT and _KEY.

    Raises:
        InvalidCredentialsError: a token that cannot be one, a file that cannot be read, a
            certificate without its key.
    """
    token = (environ.get(TOKEN, "") if token is None else token).strip()
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise InvalidCredentialsError(f"the token ({TOKEN}) has characters that no token has")
    cert, key = _read(tls_cert, CERT, environ), _read(tls_key, KEY, environ)
    if (cert is None) != (key is None):
        raise InvalidCredentialsError(
            f"a client's certificate ({CERT}) and its key ({KEY}) come together or not at all"
        )
    return Credentials(token, _read(tls_ca, CA, environ), cert, key)


def _read(given: str | None, name: str, environ: Mapping[str, str]) -> bytes | None:
    path = given or environ.get(name)
    if not path:
        return None
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise InvalidCredentialsError(f"{path} ({name}): {error.strerror}") from None
