"""The composition root: the only file that knows every part. Build, serve, drain, stop."""

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import structlog

from llmosd import __version__, device
from llmosd.composition import Ground, compose
from llmosd.config import Config
from llmosd.config_checks import ConfigError
from llmosd.config_sources import Loaded, Sources
from llmosd.errors import LlmosError
from llmosd.listeners import AlreadyRunning, open_all, open_metrics
from llmosd.log import set_level
from llmosd.observing.observation import Observation
from llmosd.operations.durable import DurableJobs
from llmosd.operations.journal import Journal
from llmosd.operations.manager import OperationManager
from llmosd.operations.slots import Slots
from llmosd.rpc.audit import AuditTrail
from llmosd.rpc.call_observer import CallObserver
from llmosd.rpc.inside_jobs import JobStarter
from llmosd.rpc.server import Server
from llmosd.sd_notify import notify
from llmosd.settings import Settings
from llmosd.status_line import StatusLine, Work
from llmosd.store.audit import AuditFile
from llmosd.store.catalog import Catalog
from llmosd.store.datasets import DatasetStore
from llmosd.store.evaluations import EvaluationFolders
from llmosd.store.names import ModelRef
from llmosd.store.snapshot import Snapshots
from llmosd.store.versions import VersionStore
from llmosd.supervisor.engine_handle import EngineHandle
from llmosd.supervisor.job_launcher import JobLauncher
from llmosd.supervisor.job_runner import JobRunner
from llmosd.supervisor.launcher import LocalLauncher
from llmosd.supervisor.pool import POOL_SETTINGS, ModelPool
from llmosd.supervisor.stage import Stage
from llmosd.text.templates import TemplateRenderer

_log = structlog.get_logger()
_DRAIN_NOTICE_SECONDS = 0.1
_DAY_SECONDS = 86_400.0


async def run(sources: Sources, loaded: Loaded) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        AlreadyRunning: another daemon holds the state directory or the socket.
        OSError: the state directory cannot be written.
    """
    config = loaded.config
    config.state.mkdir(parents=True, exist_ok=True, mode=0o750)
    with (
        _lock(config.state),
        Catalog(config.state / "catalog.db") as catalog,
        contextlib.closing(AuditFile(config.state)) as audit,
    ):
        await _Daemon(Settings(sources, loaded), catalog, audit).serve()


class _Daemon:
    """All parts of a running daemon."""

    def __init__(self, settings: Settings, catalog: Catalog, audit: AuditFile) -> None:
        self._settings = settings
        self._config = config = settings.config
        self._certificates = dict(config.certificates)  # shared with the gates
        self._catalog = catalog
        self._store = VersionStore(config.state)
        records = catalog.versions(None, 1_000_000)
        self._store.clean([(record.model_id, record.version) for record in records])
        self._dataset_store = DatasetStore(config.state)
        known = catalog.datasets.versions(None, 1_000_000)
        self._dataset_store.clean([(record.dataset_id, record.version) for record in known])
        self._evaluation_folders = EvaluationFolders(config.state)
        self._evaluation_folders.clean(catalog.evaluations.names())
        threads = config.threads or device.cpu_count()
        self._jobs = JobRunner(threads)
        self._launcher = LocalLauncher(
            Path(config.cache_dir), threads, keep_spare=config.spare_engine
        )
        stage = Stage(
            config, self._store, self._launcher, self._resident_bytes, self._catalog.resolve
        )
        self._pool = ModelPool(config, stage)
        journal = Journal(catalog.operations)
        self._starter = JobStarter(JobLauncher())
        slots = Slots(config.max_jobs, device.available_memory)
        self._durable = DurableJobs(
            config.state / "operations",
            journal,
            self._starter,
            slots,
            serving=self._pool.answering,
        )
        self._operations = OperationManager(journal, self._durable)
        self._snapshots = Snapshots(config.state, catalog, self._store, self._dataset_store)
        self._durable.clearing = self._snapshots.copying
        self._renderer = TemplateRenderer()
        self._observation = Observation(config, catalog, self._pool, journal, self._processes)
        shutil.rmtree(config.state / "scratch", ignore_errors=True)
        self._parts = compose(self._ground())
        self._register_settings(slots)
        watch = self._observation
        self._server = Server(
            self._parts.servicers,
            self._pool,
            AuditTrail(audit),
            CallObserver(catalog, watch.calls, watch.requests, watch.tracing),
            self._parts.sessions,
            config,
        )
        self._restore_wanted()
        self._durable.restore()
        if not self._durable.processes():
            _clean_tokens(config.state / "tokens")

    async def serve(self) -> None:
        """Bind, say READY, serve, drain, stop."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        addresses = open_all(self._server, self._config, self._catalog.tokens, self._certificates)
        await self._server.start()
        watch = self._observation
        addresses |= open_metrics(watch.endpoint, self._config.metrics_listen)
        watch.start()
        changes = asyncio.Queue[None]()
        status = StatusLine(", ".join(addresses.values()), self._work)

        def pool_changed() -> None:
            changes.put_nowait(None)
            status.changed()

        self._pool.stage.on_change = pool_changed
        self._parts.generator.on_change = self._durable.on_change = status.changed
        tasks = [
            asyncio.create_task(self._pool.run_idle_unload()),
            asyncio.create_task(self._follow_changes(changes)),
            asyncio.create_task(self._expire_feedback()),
        ]
        self._parts.probations.restore()
        _log.info("ready", version=__version__, **addresses, pid=os.getpid())
        notify("READY=1", f"STATUS={status.text(self._work())}")
        self._launcher.prepare()
        await stop.wait()
        status.close()
        notify("STOPPING=1", "STATUS=running generations may finish")
        _log.info("stopping")
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)  # a second one ends the process at once
        await self._shut_down()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _shut_down(self) -> None:
        """NOT_SERVING first; running generations may finish; then everything ends."""
        grace = self._settings.config.drain_seconds
        await self._server.drain()
        self._parts.servicers.admin.stop()
        await self._parts.probations.close()
        await asyncio.sleep(_DRAIN_NOTICE_SECONDS)  # health watchers hear it before calls fail
        await asyncio.gather(
            self._server.stop(grace), self._pool.drain(grace), self._operations.stop(grace)
        )
        await self._parts.promoter.close()
        await self._renderer.close()
        await self._observation.stop()

    def _reload(self) -> None:
        """SIGHUP: what is wrong with the sources is in the log, and the old settings hold."""
        with contextlib.suppress(ConfigError):
            self._settings.reload()

    async def _follow_changes(self, changes: "asyncio.Queue[None]") -> None:
        while True:
            await changes.get()
            await self._server.update_models()

    def _ground(self) -> Ground:
        return Ground(
            config=self._config,
            catalog=self._catalog,
            store=self._store,
            datasets=self._dataset_store,
            evaluations=self._evaluation_folders,
            pool=self._pool,
            runner=self._jobs,
            starter=self._starter,
            jobs=self._durable,
            operations=self._operations,
            renderer=self._renderer,
            observation=self._observation,
            resident_bytes=self._resident_bytes,
            settings=self._settings,
            snapshots=self._snapshots,
        )

    def _register_settings(self, slots: Slots) -> None:
        """What this file made goes by new settings, too."""
        register = self._settings.register
        register("log_level", apply=lambda config: set_level(config.log_level))
        register("max_jobs", apply=lambda config: slots.set_places(config.max_jobs))
        register(*POOL_SETTINGS, apply=self._pool.configure)
        register("certificates", apply=self._certificates_changed)

    def _certificates_changed(self, config: Config) -> None:
        self._certificates.clear()
        self._certificates.update(config.certificates)

    async def _expire_feedback(self) -> None:
        """Once a day, and at start: what is older than people were told goes."""
        while True:
            try:
                await self._parts.book.expire()
            except LlmosError as error:  # a job reads it: tomorrow, then
                _log.warning("feedback_not_expired", reason=error.message)
            await asyncio.sleep(_DAY_SECONDS)

    def _restore_wanted(self) -> None:
        """Models that were loaded when the last daemon ended come back on their first request."""
        for wanted in self._catalog.wanted():
            record = self._catalog.resolve(ModelRef(wanted.model_id, wanted.version))
            self._pool.want(record, wanted.keep_alive, wanted.dtype or None)

    def _work(self) -> Work:
        """What the status line counts."""
        handles = [each.handle for each in self._pool.residents() if each.handle is not None]
        # An adapter's that wait are among its base's.
        engines = [handle for handle in handles if isinstance(handle, EngineHandle)]
        return Work(
            models=len(handles),
            generations=self._parts.generator.num_running,
            waiting=sum(handle.stats.waiting for handle in engines),
            jobs=self._durable.num_running,
        )

    def _resident_bytes(self) -> int:
        return sum(
            device.resident_bytes(pid) for pids in self._processes().values() for pid in pids
        )

    def _processes(self) -> dict[str, list[int]]:
        """Process ids of the daemon and its children, by kind."""
        return {
            "daemon": [os.getpid()],
            "engine": self._pool.processes(),
            "job": [*self._jobs.processes(), *self._durable.processes()],
        }


@contextlib.contextmanager
def _lock(state: Path) -> Iterator[None]:
    """One daemon per state directory."""
    with (state / "llmosd.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(f"another llmosd holds the state directory {state}") from None
        yield


def _clean_tokens(cache: Path) -> None:
    """Remove what tokenizing left that was killed; nothing is being tokenized now."""
    for leftover in cache.glob(".*"):
        shutil.rmtree(leftover, ignore_errors=True)
