"""Which models are in memory: load, unload, idle unload; `stage` is how they get there.

A model that somebody loaded stays wanted until it is unloaded. Wanted models may leave memory, when
idle or to make room, and come back with the next request.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from llmosd.config import Config
from llmosd.errors import EngineLost, ModelInUse, ModelNotLoaded, ServerDraining
from llmosd.store.records import VersionRecord
from llmosd.supervisor.model_handle import ModelHandle
from llmosd.supervisor.resident import Resident, State
from llmosd.supervisor.stage import Report, Stage

_log = structlog.get_logger()
# Between two looks at a version that is to go.
_RETIRE_SECONDS = 0.02

POOL_SETTINGS = (
    "keep_alive_seconds", "drain_seconds", "tenant_weights", "max_sequences", "max_queue",
    "step_tokens", "draft_tokens", "kv_cache_bytes", "memory_limit_bytes", "memory_reserve_bytes",
    "heartbeat_timeout_seconds", "load_timeout_seconds",
)  # fmt: skip
"""What `configure` changes; of a loaded model only tenants' shares."""


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

    def __init__(self, config: Config, stage: Stage) -> None:
        """`stage` brings versions into memory."""
        self._config = config
        self.stage = stage
        self.planner, self.pins = stage.planner, stage.pins

    def configure(self, config: Config) -> None:
        """Go by these settings; of an engine that is loaded only the tenants' shares change."""
        self._config = config
        self.stage.configure(config)

    def residents(self) -> list[Resident]:
        """Everything wanted."""
        return list(self.stage.residents.values())

    def resident(self, record: VersionRecord) -> Resident | None:
        """One version, if it is wanted."""
        return self.stage.residents.get(record.name)

    @property
    def num_loaded(self) -> int:
        """Models in memory."""
        return sum(resident.handle is not None for resident in self.stage.residents.values())

    def processes(self) -> list[int]:
        """Process ids of the engines, of those that wait for a model, too."""
        loaded = {r.handle.pid for r in self.stage.residents.values() if r.handle is not None}
        return sorted(loaded) + self.stage.launcher.processes()

    def answering(self) -> bool:
        """Whether any model answers somebody now, or did a moment ago."""
        return self.stage.answering()

    def dtype_of(self, record: VersionRecord) -> str:
        """Of the arithmetic, where nobody asks for one; see Stage."""
        return self.stage.dtype_of(record)

    def want(self, record: VersionRecord, keep_alive: float | None, dtype: str | None) -> Resident:
        """Note that a version is to be served; the next request loads it."""
        return self.stage.want(record, keep_alive, dtype)

    async def load(
        self, record: VersionRecord, keep_alive: float | None, dtype: str | None, report: Report
    ) -> Loaded:
        """Bring a version into memory, evicting idle ones if need be; at once if it is there.

        Raises:
            InsufficientMemory, ModelLoadFailed; ModelInUse: it is loaded with another dtype.
        """
        async with self.stage.lock:
            self._check_open()
            known = self.stage.residents.get(record.name)
            if known and known.handle and dtype not in (None, known.dtype):
                raise ModelInUse(
                    f"{record.name} is loaded as {known.dtype}; unload it before loading as {dtype}"
                )
            resident = self.stage.want(record, keep_alive, dtype)
            if resident.handle is None:
                resident.dtype = dtype or resident.dtype
                try:
                    await self.stage.start(resident, report)
                except BaseException:
                    if known is None:  # nobody wanted it before: it is as if nobody had asked
                        del self.stage.residents[record.name]
                    raise
            return Loaded(resident.estimated, resident.bytes_before, resident.bytes_loaded)

    async def unload(
        self, record: VersionRecord, *, force: bool, on_end: Callable[[], None] = lambda: None
    ) -> Unloaded:
        """End a version's process; running generations finish first, unless forced.

        `on_end` drops what else is kept for the model, before memory is measured again.

        Raises:
            ModelNotLoaded: it is not loaded.
            ModelInUse: adapters are served in its process.
        """
        if record.name not in self.stage.residents:
            raise ModelNotLoaded(f"{record.name} is not loaded")
        async with self.stage.lock:
            resident = self.stage.residents.get(record.name)
            if resident is None:
                raise ModelNotLoaded(f"{record.name} is not loaded any more")
            if resident.adapters:
                names = sorted(each.record.name for each in resident.adapters)
                raise ModelInUse(
                    f"{', '.join(names)} is served in the process of {record.name}",
                    metadata={"adapters": " ".join(names)},
                )
            loaded = self.stage.measure()
            self.stage.residents.pop(record.name, None)
            resident.state = State.UNLOADING
            self.stage.on_change()
            await self.stage.stop(resident, 0.0 if force else self._config.drain_seconds)
        on_end()
        return Unloaded(resident.bytes_before, loaded, self.stage.measure())

    async def acquire(self, record: VersionRecord) -> ModelHandle:
        """The engine of a wanted version, loaded again if it was idle.

        Raises:
            ModelNotLoaded, EngineLost, ModelLoadFailed, InsufficientMemory, ServerDraining.
        """
        self._check_open()
        resident = self.stage.residents.get(record.name)
        if resident is None:
            raise ModelNotLoaded(
                f"{record.name} is not loaded; call LoadModel, or run: llmos load {record.model_id}"
            )
        resident.touch()
        if resident.handle is not None:
            return resident.handle
        if resident.state is State.RESTARTING:
            raise EngineLost("the model's process is being restarted; try again", retry_after=1.0)
        async with self.stage.lock:
            if not self.stage.known(resident):
                raise ModelNotLoaded(f"{record.name} was unloaded, or could not be loaded")
            if resident.handle is None:
                await self.stage.start(resident, lambda _: None)
            assert resident.handle is not None
            return resident.handle

    async def retire(self, record: VersionRecord, wanted_again: Callable[[], bool]) -> bool:
        """Unload a version once nobody uses it; new requests may still begin to.

        One with adapters in its process is in memory for them alone from then on.

        Returns whether it was unloaded; not where `wanted_again()` came true before, or somebody
        else unloaded it.
        """
        resident = self.stage.residents.get(record.name)
        while resident is not None and not wanted_again():
            if resident.adapters and resident.record.name not in self.pins:
                resident.wanted = False
                return True
            if self.stage.unused(resident):
                async with self.stage.lock:
                    if self.stage.residents.get(record.name) is not resident:
                        return False
                    if self.stage.unused(resident) and not wanted_again():
                        await self.stage.drop(resident)
                        return True
            await asyncio.sleep(_RETIRE_SECONDS)
            resident = self.stage.residents.get(record.name)
        return False

    async def run_idle_unload(self) -> None:
        """Unload what nobody used for its keep-alive, or wants; runs until cancelled."""
        stage = self.stage
        while True:
            await asyncio.sleep(0.5)
            for resident in self.residents():
                over = stage.expired(resident) or stage.surplus(resident)
                if not over or stage.lock.locked():
                    continue
                async with stage.lock:
                    if stage.surplus(resident):
                        await stage.drop(resident)
                    elif stage.known(resident) and stage.expired(resident):
                        _log.info("model_idle", model=resident.record.name)
                        await stage.rest(resident)

    async def drain(self, seconds: float) -> None:
        """Refuse new work, let running generations finish, end all engines."""
        self.stage.give_up_restarts()
        # Adapters first: their requests end with their base's process.
        for some in (True, False):
            ending = [r for r in self.residents() if (r.base is not None) == some]
            await asyncio.gather(*(self.stage.stop(resident, seconds) for resident in ending))
        await self.stage.launcher.release()

    def _check_open(self) -> None:
        if self.stage.draining:
            raise ServerDraining("the daemon is stopping", retry_after=5.0)
