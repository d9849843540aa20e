"""Telling systemd how the service is: sd_notify(3), ten lines of it."""

import contextlib
import os
import socket


def notify(*assignments: str, wait: bool = True) -> None:
    """Send e.g. "READY=1" to the service manager, if one asked to be told.

    Without `wait` it is left out where the manager is behind with its reading.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.setblocking(wait)
        with contextlib.suppress(BlockingIOError):
            channel.sendto("\n".join(assignments).encode(), address)
