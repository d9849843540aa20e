"""Which models are in memory: load, unload, idle unload, eviction, restart after a loss.

A model that somebody loaded stays wanted until it is unloaded. Wanted models may leave memory, when
idle or to make room, and come back with the next request.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from llmosd.config import Config
from llmosd.errors import (
    EngineLost,
    InsufficientMemory,
    LlmosError,
    ModelInUse,
    ModelLoadFailed,
    ModelNotLoaded,
    ServerDraining,
)
from llmosd.ipc.messages import Loading
from llmosd.store.records import VersionRecord
from llmosd.store.versions import VersionStore
from llmosd.supervisor.engine_handle import EngineHandle
from llmosd.supervisor.launcher import Launcher
from llmosd.supervisor.memory import Estimate
from llmosd.supervisor.pins import Pins
from llmosd.supervisor.planner import Planner
from llmosd.supervisor.resident import Resident, State

_log = structlog.get_logger()
_FIRST_BACKOFF, _MOST_BACKOFF = 0.2, 30.0
_STABLE_SECONDS = 60.0
# Between two turns of a conversation a machine is not idle.
_MOMENT_SECONDS = 1.0
# Between two looks at a version that is to go.
_RETIRE_SECONDS = 0.02

POOL_SETTINGS = (
    "keep_alive_seconds", "drain_seconds", "tenant_weights", "max_sequences", "max_queue",
    "step_tokens", "draft_tokens", "kv_cache_bytes", "memory_limit_bytes", "memory_reserve_bytes",
    "heartbeat_timeout_seconds", "load_timeout_seconds",
)  # fmt: skip
"""What `configure` changes; of a loaded model only tenants' shares."""

Report = Callable[[Loading], None]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What loading took, in bytes; resident ones of the daemon and all its processes."""

    estimated: int
    resident_before: int
    resident_loaded: int


@dataclass(frozen=True, slots=True)
class Unloaded:
    """Resident bytes of the daemon and its processes around a model's life."""

    resident_before: int
    resident_loaded: int
    resident_after: int


class ModelPool:
    """Every version that is or should be in memory."""

    def __init__(
        self,
        config: Config,
        store: VersionStore,
        launcher: Launcher,
        resident_bytes: Callable[[], int],
    ) -> None:
        """`resident_bytes` measures the daemon with all its processes."""
        self._config = config
        self._store = store
        self._launcher = launcher
        self._measure = resident_bytes
        self.planner = Planner(config, store, resident_bytes)
        self.pins = Pins()
        self._residents: dict[str, Resident] = {}
        self._lock = asyncio.Lock()  # one transition at a time keeps the memory estimates true
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False
        self._answered_at = -_MOMENT_SECONDS
        self.on_change: Callable[[], None] = lambda: None
        self.on_engine_ended: Callable[[str, EngineHandle], None] = lambda _, __: None

    def configure(self, config: Config) -> None:
        """Go by these settings; of an engine that is loaded only the tenants' shares change."""
        if config.tenant_weights != self._config.tenant_weights:
            for resident in self._residents.values():
                if resident.handle is not None:
                    resident.handle.set_weights(config.tenant_weights)
        self._config = config
        self.planner.configure(config)

    def residents(self) -> list[Resident]:
        """Everything wanted."""
        return list(self._residents.values())

    def resident(self, record: VersionRecord) -> Resident | None:
        """One version, if it is wanted."""
        return self._residents.get(record.name)

    @property
    def num_loaded(self) -> int:
        """Models in memory."""
        return sum(resident.handle is not None for resident in self._residents.values())

    def answering(self) -> bool:
        """Whether any model answers somebody now, or did a moment ago."""
        now = time.monotonic()
        handles = (resident.handle for resident in self._residents.values())
        if any(handle is not None and handle.num_generations for handle in handles):
            self._answered_at = now
        return now - self._answered_at < _MOMENT_SECONDS

    def processes(self) -> list[int]:
        """Process ids of the engines, of those that wait for a model, too."""
        loaded = [r.handle.pid for r in self._residents.values() if r.handle is not None]
        return loaded + self._launcher.processes()

    def dtype_of(self, record: VersionRecord) -> str:
        """Of the arithmetic, where nobody asks for one; see Planner."""
        return self.planner.dtype_of(record, self._residents.values())

    def want(self, record: VersionRecord, keep_alive: float | None, dtype: str | None) -> Resident:
        """Note that a version is to be served; the next request loads it."""
        resident = self._residents.get(record.name)
        if resident is None:
            resident = Resident(record, dtype or self.dtype_of(record))
            self._residents[record.name] = resident
        if keep_alive is not None or resident.keep_alive is None:
            chosen = keep_alive if keep_alive is not None else self._config.keep_alive_seconds
            resident.keep_alive = chosen
        resident.touch()
        return resident

    async def load(
        self, record: VersionRecord, keep_alive: float | None, dtype: str | None, report: Report
    ) -> Loaded:
        """Bring a version into memory, evicting idle ones if need be; at once if it is there.

        Raises:
            InsufficientMemory, ModelLoadFailed; ModelInUse: it is loaded with another dtype.
        """
        async with self._lock:
            self._check_open()
            known = self._residents.get(record.name)
            if known and known.handle and dtype not in (None, known.dtype):
                raise ModelInUse(
                    f"{record.name} is loaded as {known.dtype}; unload it before loading as {dtype}"
                )
            resident = self.want(record, keep_alive, dtype)
            if resident.handle is None:
                resident.dtype = dtype or resident.dtype
                try:
                    await self._start(resident, report)
                except BaseException:
                    if known is None:  # nobody wanted it before: it is as if nobody had asked
                        del self._residents[record.name]
                    raise
            return Loaded(resident.estimated, resident.bytes_before, resident.bytes_loaded)

    async def unload(
        self, record: VersionRecord, *, force: bool, on_end: Callable[[], None] = lambda: None
    ) -> Unloaded:
        """End a version's process; running generations finish first, unless forced.

        `on_end` drops what else is kept for the model, before memory is measured again.

        Raises:
            ModelNotLoaded: it is not loaded.
        """
        resident = self._residents.get(record.name)
        if resident is None:
            raise ModelNotLoaded(f"{record.name} is not loaded")
        async with self._lock:
            loaded = self._measure()
            self._residents.pop(record.name, None)
            resident.state = State.UNLOADING
            self.on_change()
            await self._stop(resident, 0.0 if force else self._config.drain_seconds)
        on_end()
        return Unloaded(resident.bytes_before, loaded, self._measure())

    async def acquire(self, record: VersionRecord) -> EngineHandle:
        """The engine of a wanted version, loaded again if it was idle.

        Raises:
            ModelNotLoaded, EngineLost, ModelLoadFailed, InsufficientMemory, ServerDraining.
        """
        self._check_open()
        resident = self._residents.get(record.name)
        if resident is None:
            raise ModelNotLoaded(
                f"{record.name} is not loaded; call LoadModel, or run: llmos load {record.model_id}"
            )
        resident.touch()
        if resident.handle is not None:
            return resident.handle
        if resident.state is State.RESTARTING:
            raise EngineLost("the model's process is being restarted; try again", retry_after=1.0)
        async with self._lock:
            if resident.handle is None:
                await self._start(resident, lambda _: None)
            assert resident.handle is not None
            return resident.handle

    async def retire(self, record: VersionRecord, wanted_again: Callable[[], bool]) -> bool:
        """Unload a version once nobody uses it; new requests may still begin to.

        Returns whether it was unloaded; not where `wanted_again()` came true before, or somebody
        else unloaded it.
        """
        resident = self._residents.get(record.name)
        while resident is not None and not wanted_again():
            if self._unused(resident):
                async with self._lock:
                    if self._residents.get(record.name) is not resident:
                        return False
                    if self._unused(resident) and not wanted_again():
                        del self._residents[record.name]
                        resident.state = State.UNLOADING
                        self.on_change()
                        await self._stop(resident, 0.0)
                        return True
            await asyncio.sleep(_RETIRE_SECONDS)
            resident = self._residents.get(record.name)
        return False

    async def run_idle_unload(self) -> None:
        """Unload what nobody used for its keep-alive; runs until cancelled."""
        while True:
            await asyncio.sleep(0.5)
            for resident in self.residents():
                if self._expired(resident) and not self._lock.locked():
                    async with self._lock:
                        if self._expired(resident):
                            _log.info("model_idle", model=resident.record.name)
                            await self._rest(resident)

    async def drain(self, seconds: float) -> None:
        """Refuse new work, let running generations finish, end all engines."""
        self._draining = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(
            self._launcher.release(), *(self._stop(r, seconds) for r in self.residents())
        )

    def _check_open(self) -> None:
        if self._draining:
            raise ServerDraining("the daemon is stopping", retry_after=5.0)

    async def _start(self, resident: Resident, report: Report) -> None:
        """Start the process and wait until it is warm; the lock is held."""
        record = resident.record
        self._store.check(record.model_id, record.version, record.digest)
        need = self.planner.estimate(record, resident.dtype)
        if self.planner.device == "cpu":
            await self._make_room(record, need)
        resident.state, resident.failure = State.LOADING, None
        resident.estimated, resident.bytes_before = need.total, self._measure()
        self.on_change()
        began = time.monotonic()
        try:
            child = await self._launcher.launch(record.name)
            order, limits = self.planner.order(resident, need), self.planner.limits()
            handle = await EngineHandle.start(child, order, limits, report)
        except BaseException as error:
            resident.state = State.FAILED
            interrupted = ModelLoadFailed("loading was interrupted")
            resident.failure = error if isinstance(error, LlmosError) else interrupted
            self.on_change()
            raise
        resident.handle, resident.state = handle, State.LOADED
        handle.on_lost = lambda: self._lost(resident)
        resident.bytes_loaded = self._measure()
        resident.loaded_at = time.monotonic()
        resident.touch()
        seconds = round(resident.loaded_at - began, 3)
        _log.info("model_loaded", model=record.name, pid=handle.pid, seconds=seconds)
        if not self._draining:
            self._launcher.prepare(self.answering)
        self.on_change()

    async def _make_room(self, record: VersionRecord, need: Estimate) -> None:
        """Evict idle models, least recently used first, until the estimate fits."""
        if self.planner.room < need.total:
            await self._launcher.release()
        idle = sorted((r for r in self.residents() if self._evictable(r)), key=lambda r: r.last_use)
        while self.planner.room < need.total and idle:
            victim = idle.pop(0)
            if not self._evictable(victim):  # somebody asked while another one was evicted
                continue
            _log.info("model_evicted", model=victim.record.name, room_for=record.name)
            await self._rest(victim)
        room = self.planner.room
        if room < need.total:
            raise InsufficientMemory(
                f"{record.name} needs {need.total >> 20} MiB and {room >> 20} MiB may be used; "
                "unload a model, or set kv_cache_bytes lower",
                metadata={"needed_bytes": str(need.total), "available_bytes": str(room)},
            )

    def _unused(self, resident: Resident) -> bool:
        """Whether no request that has begun needs it."""
        busy = resident.handle is not None and resident.handle.num_generations > 0
        return not busy and resident.record.name not in self.pins

    def _evictable(self, resident: Resident) -> bool:
        return resident.handle is not None and self._unused(resident)

    def _expired(self, resident: Resident) -> bool:
        return resident.expired and resident.record.name not in self.pins

    async def _rest(self, resident: Resident) -> None:
        """Take a wanted model out of memory until it is asked for."""
        await self._stop(resident, 0.0)
        resident.state = State.IDLE
        self.on_change()

    async def _stop(self, resident: Resident, drain_seconds: float) -> None:
        handle, resident.handle = resident.handle, None
        if handle is not None:
            await handle.wait_idle(drain_seconds)
            await handle.stop()
            self.on_engine_ended(resident.record.name, handle)

    def _lost(self, resident: Resident) -> None:
        """Start a lost engine again, later each time it fails soon."""
        if resident.handle is not None:
            resident.past_ended += resident.handle.ended
            resident.past_faults += resident.handle.faults
            self.on_engine_ended(resident.record.name, resident.handle)
        resident.handle = None
        if resident.record.name not in self._residents or self._draining:
            return
        if time.monotonic() - resident.loaded_at > _STABLE_SECONDS:
            resident.recent_losses = 0
        resident.restarts += 1
        resident.state = State.RESTARTING
        self.on_change()
        task = asyncio.create_task(self._restart(resident))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _restart(self, resident: Resident) -> None:
        while resident.record.name in self._residents and resident.handle is None:
            delay = min(_FIRST_BACKOFF * 2**resident.recent_losses, _MOST_BACKOFF)
            resident.recent_losses += 1
            await asyncio.sleep(delay)
            async with self._lock:
                if resident.record.name not in self._residents or resident.handle is not None:
                    return
                with contextlib.suppress(LlmosError):
                    await self._start(resident, lambda _: None)
                    return
                resident.state = State.RESTARTING
