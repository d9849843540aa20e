"""Where an engine process comes from: one small interface, so that nothing else need know."""

import asyncio
import contextlib
import hashlib
import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from llmosd.ipc import Child
from llmosd.ipc.messages import FromEngine

_ENGINE = "llmosd.engine"
_SPIN_ROUNDS = "3000"
_CALM_SECONDS, _LATEST_SECONDS = 1.0, 30.0


class Launcher(Protocol):
    """Starts engine processes."""

    async def launch(self, name: str) -> Child:
        """Start an engine that waits for its LoadEngine frame."""

    def prepare(self, busy: Callable[[], bool] | None = None) -> None:
        """Make the next launch quick, if that can be done beforehand; not while `busy`."""

    async def release(self) -> None:
        """Give back what `prepare` holds."""

    def processes(self) -> list[int]:
        """Process ids of what `prepare` holds."""


class LocalLauncher:
    """Engines as child processes on this machine.

    A spare one waits with torch and numba imported: most of what a small model takes to load.
    """

    def __init__(self, cache_dir: Path, threads: int, *, keep_spare: bool) -> None:
        """Compiled kernels go to `cache_dir`; every engine gets `threads` threads."""
        self._cache_dir = cache_dir
        self._threads = threads
        self._keep_spare = keep_spare
        self._spare: asyncio.Task[Child] | None = None
        self._begun = False

    async def launch(self, name: str) -> Child:
        """Start an engine that waits for its LoadEngine frame."""
        spare = self._take()
        if spare is not None:
            with contextlib.suppress(OSError):  # it could not be started
                child = await spare
                if not child.exited:
                    child.name = name
                    return child
                await child.ended()
        return await self._spawn(name)

    def prepare(self, busy: Callable[[], bool] | None = None) -> None:
        """Start the spare engine unless there is one: now, or when `busy` is over."""
        if self._keep_spare and self._spare is None:
            self._begun = False
            self._spare = asyncio.create_task(self._spawn_later(busy))

    async def release(self) -> None:
        """End the spare engine."""
        spare = self._take()
        if spare is not None:
            with contextlib.suppress(OSError):
                child = await spare
                child.kill()
                await child.ended()

    def processes(self) -> list[int]:
        """The spare engine, if it runs."""
        spare = self._spare
        if spare is None or not spare.done() or spare.exception() is not None:
            return []
        return [] if spare.result().exited else [spare.result().pid]

    def _take(self) -> asyncio.Task[Child] | None:
        """The spare engine, if it has at least begun to start; then it is the caller's."""
        spare, self._spare = self._spare, None
        if spare is None or self._begun:
            return spare
        spare.cancel()
        return None

    async def _spawn_later(self, busy: Callable[[], bool] | None) -> Child:
        """Start once it was not `busy` for a second, or has been for half a minute.

        Importing torch takes a processor for some seconds, which the first answers of a model that
        was just loaded would have to share.
        """
        loop = asyncio.get_running_loop()
        latest, calm_since = loop.time() + _LATEST_SECONDS, loop.time()
        while busy is not None and min(calm_since + _CALM_SECONDS, latest) > loop.time():
            await asyncio.sleep(_CALM_SECONDS / 5)
            if busy():
                calm_since = loop.time()
        self._begun = True
        return await self._spawn("spare")

    async def _spawn(self, name: str) -> Child:
        environment = engine_environment(self._cache_dir, self._threads)
        return await Child.spawn(name, _ENGINE, FromEngine, environment)


def engine_environment(cache_dir: Path, threads: int) -> dict[str, str]:
    """What an engine's process is started with, beside its parent's environment."""
    environment = {
        "NUMBA_CACHE_DIR": str(kernel_cache(cache_dir)),
        "NUMBA_NUM_THREADS": str(threads),
        **openmp_environment(threads),
    }
    folder = _share_openmp(cache_dir)
    if folder is not None:
        paths = [str(folder), os.environ.get("LD_LIBRARY_PATH", "")]
        environment["LD_LIBRARY_PATH"] = ":".join(filter(None, paths))
        environment["NUMBA_THREADING_LAYER"] = "omp"
    return environment


def openmp_environment(threads: int) -> dict[str, str]:
    """What OpenMP is told in every process that computes."""
    return {
        "OMP_NUM_THREADS": str(threads),
        # A step waits for all its threads: there must be as many as it was told.
        "OMP_THREAD_LIMIT": str(threads),
        "OMP_DYNAMIC": "false",
        # How long a thread spins at a barrier before it sleeps. libgomp's own 300,000 rounds
        # keep a processor from the thread that is waited for, as soon as anything else runs:
        # two engines on two cores took 2.2 s a token, and 0.09 s with this.
        "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", _SPIN_ROUNDS),
    }


def _share_openmp(cache_dir: Path) -> Path | None:
    """A folder where numba's name for libgomp leads to torch's copy.

    One OpenMP runtime means one pool of threads for both, and none of the system's is needed.
    None where torch brings no libgomp: numba then chooses its threading layer itself.
    """
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    library = Path(spec.origin).parent / "lib" / "libgomp.so.1"
    if not library.exists():
        return None
    folder = cache_dir / "openmp"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("libgomp.so.1", "libgomp.so.1.0.0"):
        _point(folder / name, library)
    return folder


def kernel_cache(cache_dir: Path) -> Path:
    """The folder for compiled kernels: one for each state of their sources, and of LLMOS_DOT.

    numba looks at the file of the function that is called, not at those it is built from: after an
    upgrade it would run the old ones. It knows nothing of the environment.
    """
    spec = importlib.util.find_spec("llmos_kernels")
    assert spec is not None
    assert spec.origin is not None
    digest = hashlib.sha256(os.environ.get("LLMOS_DOT", "").encode())
    for path in sorted(Path(spec.origin).parent.glob("*.py")):
        digest.update(path.read_bytes())
    folder = cache_dir / "kernels" / digest.hexdigest()[:16]
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for other in folder.parent.iterdir():
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)
    return folder


def _point(link: Path, target: Path) -> None:
    """Make `link` a symbolic link to `target`, replacing an older one in one step."""
    if link.is_symlink() and link.readlink() == target:
        return
    fresh = link.with_name(f"{link.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.rename(link)
