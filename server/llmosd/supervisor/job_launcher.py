"""Starts the process of a durable job: its own session, so that it outlives this daemon."""

import asyncio
import contextlib
import os
import sys
from pathlib import Path

from llmosd.store.run_directory import STDERR, Order, RunDirectory
from llmosd.supervisor.launcher import SPIN_ROUNDS, shared_openmp

_MODULE = "llmosd.jobs.durable_worker"


class JobLauncher:
    """Starts workers on this machine."""

    def __init__(self, cache_dir: Path) -> None:
        self._cache_dir = cache_dir
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
                env={**os.environ, **self._environment(order.resources.threads)},
            )
        # Nobody waits for its exit status, which says nothing; but a zombie is not left behind.
        reaping = asyncio.create_task(process.wait())
        self._reaping.add(reaping)
        reaping.add_done_callback(self._reaping.discard)

    def _environment(self, threads: int) -> dict[str, str]:
        environment = {
            "OMP_NUM_THREADS": str(threads),
            "OMP_THREAD_LIMIT": str(threads),
            "OMP_DYNAMIC": "false",
            # Its threads must not spin where an engine's want to run; see the launcher.
            "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", SPIN_ROUNDS),
        }
        with contextlib.suppress(OSError):
            folder = shared_openmp(self._cache_dir)
            if folder is not None:
                paths = [str(folder), os.environ.get("LD_LIBRARY_PATH", "")]
                environment["LD_LIBRARY_PATH"] = ":".join(filter(None, paths))
        return environment
