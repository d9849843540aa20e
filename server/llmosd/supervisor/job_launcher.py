"""Starts the process of a durable job: its own session, so that it outlives this daemon."""

import asyncio
import os
import sys

from llmosd.store.run_directory import STDERR, Order, RunDirectory
from llmosd.supervisor.launcher import openmp_environment

_MODULE = "llmosd.jobs.durable_worker"


class JobLauncher:
    """Starts workers on this machine."""

    def __init__(self) -> None:
        self._reaping: set[asyncio.Task[int]] = set()

    async def __call__(self, run: RunDirectory, order: Order, lock: int, after: int) -> None:
        """Start a worker that holds `lock`, and writes its process id there."""
        with (run.path / STDERR).open("ab") as stderr:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                _MODULE,
                str(run.path),
                str(lock),
                str(after),
                pass_fds=[lock],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                start_new_session=True,
                env={**os.environ, **openmp_environment(order.resources.threads)},
            )
        # Nobody waits for its exit status, which says nothing; but a zombie is not left behind.
        reaping = asyncio.create_task(process.wait())
        self._reaping.add(reaping)
        reaping.add_done_callback(self._reaping.discard)
