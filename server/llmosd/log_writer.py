"""Log lines, written by a thread of their own: whoever logs never waits for who reads the log.

A pipe that nobody reads, or a disk that hangs, costs log lines and not answers. What does not fit
is counted, and the count is the next line that is written.
"""

import contextlib
import os
import select
import threading
from collections import deque
from collections.abc import Callable

# Waiting lines: some seconds of the heaviest traffic.
_MOST_BYTES = 8 * 1024 * 1024
_CLOSE_SECONDS = 2.0


class LogWriter:
    """Writes to a file descriptor, in order."""

    def __init__(
        self,
        descriptor: int,
        tell_dropped: Callable[[int], str],
        *,
        most_bytes: int = _MOST_BYTES,
    ) -> None:
        """`tell_dropped` makes the line that says how many were dropped."""
        self._descriptor = descriptor
        self._tell_dropped = tell_dropped
        self._most_bytes = most_bytes
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._untold = 0
        self._closing = False
        self._changed = threading.Condition()
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Take a line, without its end; never blocks."""
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        with self._changed:
            if self._bytes + len(data) > self._most_bytes:
                self.dropped += 1
                self._untold += 1
                return
            if self._untold:
                self._add(self._tell_dropped(self._untold).encode() + b"\n")
                self._untold = 0
            self._add(data)
            self._changed.notify()

    def close(self) -> None:
        """Write what is left, for a moment at most."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(_CLOSE_SECONDS)

    def _add(self, data: bytes) -> None:
        self._lines.append(data)
        self._bytes += len(data)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._lines and not self._closing:
                    self._changed.wait()
                if not self._lines:
                    return
                # Whole lines, and few enough to be gone at once where somebody reads.
                batch = [self._lines.popleft() for _ in range(min(len(self._lines), 64))]
            data = b"".join(batch)
            with contextlib.suppress(OSError):  # the reader is gone: nobody is left to tell
                self._write_all(data)
            with self._changed:
                self._bytes -= len(data)

    def _write_all(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:  # whoever gave us the descriptor made it so
                select.select([], [self._descriptor], [])
