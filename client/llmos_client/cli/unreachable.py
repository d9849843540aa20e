"""Why nobody answers: which address, whether its socket is there, who may open it, what to do."""

import grp
import os
import pwd
import stat
from pathlib import Path

from llmos_client.address import Address, resolve, usual_sockets
from llmos_client.cli.options import Settings
from llmos_client.cli.placing import chosen, place
from llmos_client.contexts import Context
from llmos_client.errors import DaemonUnreachable, LlmosError

_START = (
    "Start it for yourself: llmos serve",
    "or for everybody on this machine: systemctl start llmosd",
)


def describe_unreachable(error: DaemonUnreachable, settings: Settings) -> str:
    """Write what a person needs to get the daemon to answer."""
    try:
        context = chosen(settings)
        address = resolve(place(settings)["address"])
    except LlmosError:
        context, address = None, Address(error.address, "given")
    never = error.message.startswith("failed to connect")
    what = f"no daemon answers at {address}" if never else f"the connection to {address} broke"
    lines = [
        f"error: {what} ({error.label}).{_request(error)}",
        f"  {_where(address, settings, context)}",
    ]
    if address.socket is None or not never:
        lines.append(f"  gRPC says: {error.message}")
    if address.socket is not None:
        lines.append(f"  {_socket_state(address.socket)}")
    if address.origin == "default":
        others = [f"{p} ({_there(p)})" for p in usual_sockets() if p != address.socket]
        lines.append(f"  Other usual places: {', '.join(others)}.")
    return "\n".join([*lines, *(f"  {line}" for line in _START)])


def _where(address: Address, settings: Settings, context: tuple[str, Context] | None) -> str:
    if context is not None and not settings.address and address.origin == "given":
        return f'The address comes from the context "{context[0]}": see llmos context list.'
    if address.origin == "default":
        return "The usual place: neither --address nor LLMOS_ADDRESS names another."
    origin = "--address" if address.origin == "given" else address.origin
    return f"The address comes from {origin}."


def _socket_state(path: Path) -> str:
    try:
        state = path.stat()
    except FileNotFoundError:
        return "The socket does not exist: the daemon is not running, or listens elsewhere."
    except PermissionError:
        group = _group(path.parent.stat().st_gid)
        return (
            f"You may not look into {path.parent}: ask to join the group {group}"
            f" (usermod -aG {group} {_user(os.getuid())}), and log in again."
        )
    except OSError as error:
        return f"The socket cannot be looked at: {error.strerror}."
    if not stat.S_ISSOCK(state.st_mode):
        return "There is a file of that name, but it is no socket."
    who = f"{_user(state.st_uid)}:{_group(state.st_gid)}, mode {stat.filemode(state.st_mode)}"
    if not os.access(path, os.W_OK):
        return (
            f"The socket is there ({who}), and you may not open it:"
            f" ask to join the group {_group(state.st_gid)}, and log in again."
        )
    return f"The socket is there ({who}), and you may open it, but nobody listens on it any more."


def _there(path: Path) -> str:
    return "there" if os.path.exists(path) else "not there"  # noqa: PTH110 - never raises


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _request(error: DaemonUnreachable) -> str:
    return f" [request {error.request_id[:8]}…]" if error.request_id else ""
