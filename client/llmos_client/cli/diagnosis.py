"""What can be wrong between a client and its daemon, looked at from the client's side."""

import configparser
import os
import stat
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from llmos_client.address import SYSTEM_SOCKET, Address
from llmos_client.administration import CheckResult, ServerCheck
from llmos_client.cli.problems import describe
from llmos_client.errors import DaemonUnreachable, LlmosError, NotAuthorizedError

if TYPE_CHECKING:
    from llmos_client.cli.options import Settings
    from llmos_client.client import Client

_TIMEOUT_SECONDS = 5.0
UNIT = "llmosd.service"
# In the order in which systemd prefers them.
UNIT_FOLDERS = (
    Path("/etc/systemd/system"),
    Path("/run/systemd/system"),
    Path("/usr/local/lib/systemd/system"),
    Path("/usr/lib/systemd/system"),
    Path("/lib/systemd/system"),
)


def diagnose(settings: "Settings") -> list[ServerCheck]:
    """Look at everything, whether or not a daemon answers; raises nothing of what it looks for."""
    checks: list[ServerCheck] = []
    try:
        with settings.client(timeout=_TIMEOUT_SECONDS) as client:
            if client.address.socket is not None:
                checks.append(_socket(client.address, client.address.socket))
            checks += _daemon(client, settings)
            system = client.address.socket == SYSTEM_SOCKET
    except LlmosError as error:  # an address or credentials that cannot be read
        checks.append(_problem("address", error.message, "look at --address and LLMOS_ADDRESS"))
        system = False
    return [*checks, _unit(UNIT_FOLDERS, needed=system)]


def _socket(address: Address, path: Path) -> ServerCheck:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return _problem("address", f"{address}: {error.strerror}", "start the daemon: llmos serve")
    found = f"{address}, mode {stat.filemode(mode)}"
    if not stat.S_ISSOCK(mode):
        return _problem("address", f"{found}: no socket", "remove the file, or choose another")
    if not os.access(path, os.W_OK):
        return _problem(
            "address", f"{found}: not for you", "usermod -aG its group, then log in anew"
        )
    if mode & stat.S_IWOTH and path.parent.stat().st_mode & stat.S_IXOTH:
        return _warning("address", f"{found}: for everybody on this machine", f"chmod o-rwx {path}")
    return _ok("address", found)


def _daemon(client: "Client", settings: "Settings") -> list[ServerCheck]:
    try:
        info = client.server_info()
        health = str(client.health())
    except DaemonUnreachable as error:
        first, *rest = describe(error, settings).splitlines()
        fix = " ".join(f"{line.strip().rstrip('.')}." for line in rest)
        return [_problem("daemon", first.removeprefix("error: "), fix)]
    except LlmosError as error:
        return [_problem("daemon", f"{error.message} ({error.label})", "llmos status says more")]
    checks = [_versions(version("llmos"), info.version)]
    if health != "serving":
        checks.append(_problem("health", health, "it stops, or starts: try again in a moment"))
    try:
        return [*checks, *client.check_server()]
    except NotAuthorizedError as error:
        what = f"what the daemon finds is not for you: {error.message}"
        return [*checks, _warning("server", what, "ask with a token of the role manage")]
    except LlmosError as error:
        what = f"it does not say what it finds: {error.message}"
        return [*checks, _warning("server", what, "upgrade the daemon to this client's version")]


def _versions(own: str, daemon: str) -> ServerCheck:
    if own == daemon:
        return _ok("version", f"client and daemon are {own}")
    what = f"client {own}, daemon {daemon}"
    return _warning("version", what, "upgrade the older one; restart the daemon after an upgrade")


def _unit(folders: tuple[Path, ...], *, needed: bool) -> ServerCheck:
    path = next((folder / UNIT for folder in folders if (folder / UNIT).exists()), None)
    if path is None:
        what = "no system service is installed"
        if needed:
            return _warning("unit", what, "README.md, As a system service")
        return _ok("unit", f"{what}; a person's own daemon needs none")
    drop_ins = sorted(each for folder in folders for each in (folder / f"{UNIT}.d").glob("*.conf"))
    watchdog = "0"
    for file in (path, *drop_ins):
        watchdog = _watchdog(file) or watchdog
    if watchdog in ("0", "infinity"):
        what = f"{path} has no watchdog: a daemon that hangs is not restarted"
        return _warning("unit", what, "systemctl edit llmosd: [Service] WatchdogSec=30")
    return _ok("unit", f"{path}, WatchdogSec={watchdog}")


def _watchdog(file: Path) -> str:
    # Keys may come twice in units; "#" and ";" begin comments at a line's start only.
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",), allow_no_value=True)
    try:
        parser.read_string(file.read_text())
    except (OSError, configparser.Error):
        return ""
    return parser.get("Service", "WatchdogSec", fallback="") or ""


def _ok(name: str, message: str) -> ServerCheck:
    return ServerCheck(name, CheckResult.OK, message)


def _warning(name: str, message: str, fix: str) -> ServerCheck:
    return ServerCheck(name, CheckResult.WARNING, message, fix)


def _problem(name: str, message: str, fix: str) -> ServerCheck:
    return ServerCheck(name, CheckResult.PROBLEM, message, fix)
