"""Telling systemd how the service is: sd_notify(3), eight lines of it."""

import os
import socket


def notify(*assignments: str) -> None:
    """Send e.g. "READY=1" to the service manager, if one asked to be told."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto("\n".join(assignments).encode(), address)
