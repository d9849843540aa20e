"""Telling systemd how the service is: sd_notify(3), eight lines of it."""

import contextlib
import os
import socket
import time

_SECONDS = 1.0


def notify(*assignments: str) -> None:
    """Send e.g. "READY=1" to the service manager, if one asked to be told.

    One that does not listen for a second is not told: nobody else waits for it.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.settimeout(_SECONDS)
        with contextlib.suppress(TimeoutError):
            channel.sendto("\n".join(assignments).encode(), address)


def notify_reloading() -> None:
    """Say that the configuration is being read again; "READY=1" says that it has been."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
