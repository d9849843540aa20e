"""Telling systemd how the service is: sd_notify(3), ten lines of it."""

import contextlib
import os
import socket
import time

_SECONDS = 1.0


def notify(*assignments: str, wait: bool = True) -> None:
    """Send e.g. "READY=1" to the service manager, if one asked to be told.

    One that does not listen for a second is not told: nobody else waits for it. Without `wait`, one
    that is behind with its reading is not told either.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.settimeout(_SECONDS if wait else 0.0)
        with contextlib.suppress(TimeoutError, BlockingIOError):
            channel.sendto("\n".join(assignments).encode(), address)


def notify_reloading() -> None:
    """Say that the configuration is being read again; "READY=1" says that it has been."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
