"""Turns of a job and of the engines on the same processors: eight bytes that all of them map.

Two computations at once on the same processors take more than twice as long as one after the other:
they push each other's data out of the caches and wait for each other's threads. So a job that works
beside answers takes short turns, in which engines begin no step, and rests between them.

The bytes are the end of the job's turn, in nanoseconds of the monotonic clock, which all processes
of a machine share. A turn ends by itself: a job that is killed in the middle holds up nobody.
"""

import mmap
import os
import struct
import time
from pathlib import Path

_END = struct.Struct("<q")
_NAP_SECONDS = 0.001
# No turn is longer; what says so is left from before the machine was started.
_LONGEST_NS = 500_000_000


class Turns:
    """One process's view."""

    def __init__(self, path: Path) -> None:
        """Map the file, which is made if it is not there."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            # With room on the disk: on a full one, reading a hole would end the process (SIGBUS).
            os.posix_fallocate(fd, 0, _END.size)
            self._bytes = mmap.mmap(fd, _END.size)
        finally:
            os.close(fd)

    def take(self, seconds: float) -> None:
        """Begin a turn of at most half a second."""
        _END.pack_into(self._bytes, 0, time.monotonic_ns() + int(seconds * 1e9))

    def release(self) -> None:
        """End the turn."""
        _END.pack_into(self._bytes, 0, 0)

    def wait(self) -> None:
        """Return when no job has its turn."""
        while True:
            left = _END.unpack_from(self._bytes, 0)[0] - time.monotonic_ns()
            if not 0 < left <= _LONGEST_NS:
                return
            time.sleep(min(left / 1e9, _NAP_SECONDS))
