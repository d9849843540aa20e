"""Start a child process of ours with a channel to it; spawned, never forked.

Used by whoever owns the child: the supervisor for engines and jobs, the text package for its
template worker.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any

from llmosd.ipc.channel import AsyncChannel

_PR_SET_PDEATHSIG = 1


class Child:
    """A running `python -m MODULE FD` and the front's end of its channel."""

    def __init__(
        self, name: str, process: asyncio.subprocess.Process, channel: AsyncChannel
    ) -> None:
        """Use `spawn`."""
        self.name = name
        self.channel = channel
        self._process = process
        self._stderr = asyncio.create_task(self._log_stderr())

    @classmethod
    async def spawn(
        cls, name: str, module: str, incoming: Any, environment: Mapping[str, str] | None = None
    ) -> "Child":
        """Start `module`; `incoming` is the union of structs it may send."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                str(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env={**os.environ, **(environment or {})},
            )
        ours.setblocking(False)
        return cls(name, process, await AsyncChannel.open(ours, incoming))

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def exited(self) -> bool:
        """Whether the process has ended, even if nobody has taken note yet."""
        if self._process.returncode is not None:
            return True
        try:
            # Only looked at: the exit status is asyncio's to take.
            options = os.WEXITED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self.pid, options) is not None
        except ChildProcessError:
            return True

    def kill(self) -> None:
        """End the process at once."""
        if not self.exited:
            # Not Process.kill: that polls, and may take the exit status from asyncio's watcher.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    async def ended(self) -> int:
        """Wait for the end of the process and of what it printed; its exit status."""
        code = await self._process.wait()
        self.channel.close()
        await self._stderr
        return code

    async def _log_stderr(self) -> None:
        """What a child prints is a fault to look into: one log line each."""
        # Here, because a child imports this module, too, and has no use for a logger.
        import structlog  # noqa: PLC0415

        log = structlog.get_logger()
        assert self._process.stderr is not None
        with contextlib.suppress(ValueError):  # a line over the reader's limit
            async for line in self._process.stderr:
                text = line.decode(errors="replace").rstrip()
                log.warning("child_stderr", child=self.name, pid=self.pid, line=text)


def die_with_parent() -> None:
    """In a child: be killed when the front ends, however it ends (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
