"""The server's side of TLS: a certificate whose files change is read again, without a restart."""

import ssl
from pathlib import Path
from typing import Any

import grpc
import structlog

from llmosd.config import Config

_log = structlog.get_logger()


class Certificates:
    """What the next connection is greeted with; those that are open keep what they have."""

    def __init__(self, config: Config) -> None:
        """Read the files; raises OSError."""
        self._cert, self._key = Path(config.tls_cert), Path(config.tls_key)
        self._client_ca = Path(config.tls_client_ca) if config.tls_client_ca else None
        self._read = self._files()
        self._refused: tuple[bytes, bytes, bytes] | None = None

    def credentials(self) -> Any:
        """For grpc.aio's add_secure_port; with a client CA, each client must have a certificate."""
        return grpc.dynamic_ssl_server_credentials(
            _configuration(self._read), self._renewed, self._client_ca is not None
        )

    def _renewed(self) -> Any | None:
        """The new configuration, if there is one; gRPC asks with every handshake."""
        try:
            found = self._files()
        except OSError:  # in the middle of being replaced
            return None
        if found in (self._read, self._refused):
            return None
        if not self._fits():
            # Half of a new pair: the other half may come yet, and the old pair still holds.
            self._refused = found
            _log.warning("certificate_not_read", reason="tls_cert and tls_key do not fit")
            return None
        self._read, self._refused = found, None
        _log.info("certificate_read", file=self._cert.name)
        return _configuration(found)

    def _files(self) -> tuple[bytes, bytes, bytes]:
        ca = self._client_ca.read_bytes() if self._client_ca else b""
        return self._cert.read_bytes(), self._key.read_bytes(), ca

    def _fits(self) -> bool:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
                self._cert, self._key, password=""
            )
        except (ssl.SSLError, OSError, ValueError):
            return False
        return True


def _configuration(files: tuple[bytes, bytes, bytes]) -> Any:
    cert, key, ca = files
    return grpc.ssl_server_certificate_configuration([(key, cert)], root_certificates=ca or None)
