"""Where the daemon listens: given, from LLMOS_ADDRESS, or the Unix socket of this machine."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from llmos_client.errors import InvalidAddressError

ENVIRONMENT = "LLMOS_ADDRESS"
SYSTEM_SOCKET = Path("/run/llmosd/llmosd.sock")

_TLS = "tls:"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HOST_PORT = re.compile(r"^([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.%]+\]):[0-9]{1,5}$")


@dataclass(frozen=True, slots=True)
class Address:
    """A gRPC target; `socket` is the path where it is a Unix socket, `origin` who named it.

    `secure` says that it is spoken to by TLS.
    """

    target: str
    origin: str
    socket: Path | None = None
    secure: bool = False

    def __str__(self) -> str:
        return f"{_TLS}{self.target}" if self.secure else self.target

    @property
    def leaves_the_machine(self) -> bool:
        """What is sent there can be read on its way, unless it goes by TLS."""
        return self.socket is None and self.target.rpartition(":")[0] not in _LOOPBACK


def resolve(given: str | None = None, environ: Mapping[str, str] = os.environ) -> Address:
    """Find the daemon's address: the one given, else LLMOS_ADDRESS, else the usual sockets."""
    if given:
        return parse(given, "given")
    if environ.get(ENVIRONMENT):
        return parse(environ[ENVIRONMENT], ENVIRONMENT)
    candidates = usual_sockets(environ)
    chosen = next((path for path in candidates if _may_be_there(path)), candidates[0])
    return Address(f"unix:{chosen}", "default", chosen)


def _may_be_there(path: Path) -> bool:
    """Also where its folder may not be entered: then that is said, not that nobody is there."""
    closed = path.parent.is_dir() and not os.access(path.parent, os.X_OK)
    return closed or os.path.exists(path)  # noqa: PTH110 - Path.exists raises in such a folder


def usual_sockets(environ: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """List where daemons put their socket: a person's own one first, then the system's."""
    folder = environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    state = Path(folder, "llmos", "llmosd.sock")
    runtime = environ.get("XDG_RUNTIME_DIR")
    if not runtime:
        return state, SYSTEM_SOCKET
    return Path(runtime, "llmos", "llmosd.sock"), SYSTEM_SOCKET, state


def parse(text: str, origin: str) -> Address:
    """Read unix:PATH, HOST:PORT or tls:HOST:PORT."""
    if text.startswith(_TLS) and _HOST_PORT.match(text.removeprefix(_TLS)):
        return Address(text.removeprefix(_TLS), origin, secure=True)
    if text.startswith("unix:"):
        named = text.removeprefix("unix:").removeprefix("//")
        if named:
            path = Path(named).expanduser().absolute()
            return Address(f"unix:{path}", origin, path)
    elif _HOST_PORT.match(text):
        return Address(text, origin)
    raise InvalidAddressError(
        f'address "{text}" is neither unix:PATH nor HOST:PORT nor tls:HOST:PORT',
        code="INVALID_ARGUMENT",
    )
