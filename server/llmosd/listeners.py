"""Where the daemon listens: the manage socket and, if asked for, the use socket and TCP."""

import socket
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from llmosd.config import CertificateGrant, Config
from llmosd.observing.http_endpoint import HttpEndpoint
from llmosd.roles import GRANTED
from llmosd.rpc.access import LOOPBACK_PLANE, MANAGE_PLANE, USE_PLANE, Gate, Plane
from llmosd.rpc.server import Server
from llmosd.rpc.tls import Certificates
from llmosd.store.tokens import TokenTable

_log = structlog.get_logger()
_SOCKET_MODE = 0o660


class AlreadyRunning(Exception):
    """Another daemon holds the state directory or the socket. Exit status 75."""


def open_all(
    server: Server, config: Config, tokens: TokenTable, certificates: Mapping[str, CertificateGrant]
) -> dict[str, str]:
    """Open every listener of the configuration; `certificates` may change later.

    Returns:
        Where they are, as clients write it: `address`, and `use_address` and `tcp_address`.

    Raises:
        AlreadyRunning: somebody else listens there.
        OSError: a socket or certificate cannot be had.
    """
    listeners = _Listeners(server, tokens, config, certificates)
    found = {"address": listeners.manage(config.listen)}
    if config.use_listen:
        found["use_address"] = listeners.unix(USE_PLANE, config.use_listen)
    if config.tcp_listen:
        found["tcp_address"] = listeners.tls(config.tcp_listen)
    return found


def open_metrics(endpoint: HttpEndpoint, address: str) -> dict[str, str]:
    """Open the endpoint of metrics, if there is an address.

    Returns:
        Where it is, as `metrics_address`.

    Raises:
        AlreadyRunning: the address cannot be had.
    """
    if not address:
        return {}
    if address.startswith("unix:"):
        _make_way(Path(address.removeprefix("unix:")))
    try:
        return {"metrics_address": endpoint.open(address)}
    except OSError as error:
        raise AlreadyRunning(f"metrics_listen: {address}: {error.strerror}") from None


class _Listeners:
    """Opens them, one by one."""

    def __init__(
        self,
        server: Server,
        tokens: TokenTable,
        config: Config,
        certificates: Mapping[str, CertificateGrant],
    ) -> None:
        self._certificates = certificates
        self._server = server
        self._tokens = tokens
        self._config = config

    def manage(self, address: str) -> str:
        if address.startswith("unix:"):
            return self.unix(MANAGE_PLANE, address)
        _log.warning("no_access_control", address=address, setting="insecure_loopback")
        return self._tcp(LOOPBACK_PLANE, address)

    def unix(self, plane: Plane, address: str) -> str:
        path = Path(address.removeprefix("unix:"))
        _make_way(path)
        self._server.open(self._gate(plane), address)
        path.chmod(_SOCKET_MODE)
        return address

    def tls(self, address: str) -> str:
        plane = Plane("tcp", GRANTED[self._config.tcp_role], trusted=False)
        credentials = Certificates(self._config).credentials()
        reflect = self._config.tcp_reflection
        return f"tls:{self._tcp(plane, address, credentials, reflect=reflect)}"

    def _tcp(
        self, plane: Plane, address: str, credentials: Any = None, *, reflect: bool = True
    ) -> str:
        host = address.rpartition(":")[0]
        try:
            port = self._server.open(self._gate(plane), address, credentials, reflect=reflect)
        except RuntimeError:
            raise AlreadyRunning(f"{address} is in use") from None
        return f"{host}:{port}"

    def _gate(self, plane: Plane) -> Gate:
        return Gate(plane, self._tokens, self._certificates)


def _make_way(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    _remove_stale(path)


def _remove_stale(path: Path) -> None:
    """Remove a socket nobody listens on; grpc would steal a live one without a word."""
    if not path.exists() and not path.is_symlink():
        return
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise AlreadyRunning(f"{path} exists and is not a socket")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink()
            return
    raise AlreadyRunning(f"another daemon listens on {path}")
