"""How versions come into memory and leave it: room, processes, adapters beside their base, losses.

One transition at a time, which keeps the estimates of memory true: whoever calls holds the lock.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable

import structlog

from llmosd.config import Config
from llmosd.errors import InsufficientMemory, LlmosError, ModelLoadFailed
from llmosd.ipc.messages import Loading
from llmosd.store.names import ModelRef
from llmosd.store.records import VersionRecord
from llmosd.store.versions import VersionStore
from llmosd.supervisor.adapter_handle import AdapterHandle
from llmosd.supervisor.engine_handle import EngineHandle
from llmosd.supervisor.launcher import Launcher
from llmosd.supervisor.memory import Estimate
from llmosd.supervisor.model_handle import ModelHandle
from llmosd.supervisor.pins import Pins
from llmosd.supervisor.planner import Planner
from llmosd.supervisor.resident import Resident, State

_log = structlog.get_logger()
_FIRST_BACKOFF, _MOST_BACKOFF = 0.2, 30.0
_STABLE_SECONDS = 60.0
# Between two turns of a conversation a machine is not idle.
_MOMENT_SECONDS = 1.0

Report = Callable[[Loading], None]


class Stage:
    """Every version that is or should be in memory, and the way there."""

    def __init__(
        self,
        config: Config,
        store: VersionStore,
        launcher: Launcher,
        resident_bytes: Callable[[], int],
        resolve: Callable[[ModelRef], VersionRecord],
    ) -> None:
        """`resident_bytes` measures the daemon with all its processes; `resolve` finds records."""
        self._config = config
        self._resolve = resolve
        self._store = store
        self.launcher = launcher
        self.measure = resident_bytes
        self.planner = Planner(config, store, resident_bytes)
        self.pins = Pins()
        self.residents: dict[str, Resident] = {}
        self.lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self.draining = False
        self._answered_at = -_MOMENT_SECONDS
        self.on_change: Callable[[], None] = lambda: None
        self.on_engine_ended: Callable[[str, ModelHandle], None] = lambda _, __: None

    def configure(self, config: Config) -> None:
        """Go by these settings; of an engine that is loaded only the tenants' shares change."""
        if config.tenant_weights != self._config.tenant_weights:
            for resident in self.residents.values():
                if isinstance(resident.handle, EngineHandle):
                    resident.handle.set_weights(config.tenant_weights)
        self._config = config
        self.planner.configure(config)

    def give_up_restarts(self) -> None:
        """Bring nothing back any more."""
        self.draining = True
        for task in list(self._tasks):
            task.cancel()

    def dtype_of(self, record: VersionRecord) -> str:
        """Of the arithmetic, where nobody asks for one; see Planner. An adapter's is its base's."""
        base = self._shared_base(record)
        if base is not None:
            served = self.residents.get(base.name)
            return served.dtype if served else self.dtype_of(base)
        return self.planner.dtype_of(record, self.residents.values())

    def estimate(self, record: VersionRecord, dtype: str) -> int:
        """Bytes that loading it would take, used to the full; of an adapter with its base's.

        Raises InvalidField: it cannot be served as `dtype`.
        """
        base = self._shared_base(record)
        served = self.residents.get(base.name) if base else None
        if base is None or (served is not None and served.dtype != dtype):
            return self.planner.estimate(record, dtype).total
        own = self.planner.estimate(record, dtype, beside=True).total
        there = served is not None and served.handle is not None
        return own if there else own + self.planner.estimate(base, dtype).total

    def want(self, record: VersionRecord, keep_alive: float | None, dtype: str | None) -> Resident:
        """Note that a version is to be served; the next request loads it."""
        resident = self.residents.get(record.name)
        if resident is None:
            resident = Resident(record, dtype or self.dtype_of(record))
            self.residents[record.name] = resident
        if keep_alive is not None or resident.keep_alive is None:
            chosen = keep_alive if keep_alive is not None else self._config.keep_alive_seconds
            resident.keep_alive = chosen
        resident.wanted = True
        resident.touch()
        return resident

    def answering(self) -> bool:
        """Whether any model answers somebody now, or did a moment ago."""
        now = time.monotonic()
        handles = (resident.handle for resident in self.residents.values())
        if any(handle is not None and handle.num_generations for handle in handles):
            self._answered_at = now
        return now - self._answered_at < _MOMENT_SECONDS

    def _shared_base(self, record: VersionRecord) -> VersionRecord | None:
        """The version in whose process an adapter can be served."""
        base = self.planner.shared_base(record)
        return self._resolve(base) if base else None

    def _host(self, resident: Resident) -> Resident | None:
        """Who has the process that an adapter goes into; None: it needs one of its own."""
        record = self._shared_base(resident.record)
        if record is None:
            return None
        base = self.residents.get(record.name)
        if base is None:
            base = self.want(record, None, resident.dtype)
            base.wanted = False
        if base.dtype != resident.dtype:
            return None
        base.adapters.add(resident)
        return base

    async def start(self, resident: Resident, report: Report) -> None:
        """Bring it into memory and wait until it is warm.

        Raises InsufficientMemory, ModelLoadFailed, and what an engine says went wrong.
        """
        record = resident.record
        self._store.check(record.model_id, record.version, record.digest)
        base, resident.bytes_before = self._host(resident), self.measure()
        try:
            if base is not None and base.handle is None:
                await self.start(base, report)
            await self._launch(resident, base, report)
        except BaseException:
            if base is not None:
                await self._leave(resident, base)
            raise
        if not self.draining:
            self.launcher.prepare(self.answering)
        self.on_change()

    async def _launch(self, resident: Resident, base: Resident | None, report: Report) -> None:
        """Where `base` is in memory, into its process; else into a new one."""
        record, planner = resident.record, self.planner
        need = planner.estimate(record, resident.dtype, beside=base is not None)
        if planner.device == "cpu":
            await self._make_room(record, need)
        resident.state, resident.failure = State.LOADING, None
        resident.estimated = need.total
        self.on_change()
        began = time.monotonic()
        handle: EngineHandle | AdapterHandle
        try:
            if base is not None:
                handle = await AdapterHandle.start(base.engine, planner.path(record))
            else:
                child = await self.launcher.launch(record.name)
                order, limits = planner.order(resident, need), planner.limits()
                handle = await EngineHandle.start(child, order, limits, report)
        except BaseException as error:
            resident.state = State.FAILED
            interrupted = ModelLoadFailed("loading was interrupted")
            resident.failure = error if isinstance(error, LlmosError) else interrupted
            self.on_change()
            raise
        resident.handle, resident.state, resident.base = handle, State.LOADED, base
        if isinstance(handle, EngineHandle):
            handle.on_lost = lambda: self._lost(resident)
        resident.bytes_loaded = self.measure()
        resident.loaded_at = time.monotonic()
        resident.touch()
        seconds = round(resident.loaded_at - began, 3)
        _log.info("model_loaded", model=record.name, pid=handle.pid, seconds=seconds)

    async def _leave(self, resident: Resident, base: Resident) -> None:
        """Of an adapter: leave its base's process, which ends unless somebody else needs it."""
        base.adapters.discard(resident)
        resident.base = None
        if self.surplus(base):  # else somebody asks it by its own name
            await self.drop(base)

    def known(self, resident: Resident) -> bool:
        """Whether it is still what its name means."""
        return self.residents.get(resident.record.name) is resident

    def surplus(self, resident: Resident) -> bool:
        """Whether it was in memory for adapters, and they and its requests are gone."""
        return not resident.wanted and self.known(resident) and self.unused(resident)

    async def drop(self, resident: Resident) -> None:
        """Take out of memory what nobody wants."""
        del self.residents[resident.record.name]
        resident.state = State.UNLOADING
        self.on_change()
        await self.stop(resident, 0.0)

    async def _make_room(self, record: VersionRecord, need: Estimate) -> None:
        """Evict idle models, least recently used first, until the estimate fits."""
        if self.planner.room < need.total:
            await self.launcher.release()
        # Looked for anew each time: somebody asks for one while another one is evicted.
        while self.planner.room < need.total and (
            idle := [r for r in list(self.residents.values()) if self.evictable(r)]
        ):
            base = min(idle, key=lambda each: max(r.last_use for r in (each, *each.adapters)))
            victim = next(iter(base.adapters), base)
            _log.info("model_evicted", model=victim.record.name, room_for=record.name)
            await self.rest(victim)
        room = self.planner.room
        if room < need.total:
            raise InsufficientMemory(
                f"{record.name} needs {need.total >> 20} MiB and {room >> 20} MiB may be used; "
                "unload a model, or set kv_cache_bytes lower",
                metadata={"needed_bytes": str(need.total), "available_bytes": str(room)},
            )

    def unused(self, resident: Resident) -> bool:
        """Whether no request that has begun needs it, and no adapter."""
        return not (self._busy(resident) or resident.adapters)

    def evictable(self, resident: Resident) -> bool:
        """Whether its process can make room for another one: with all adapters in it."""
        if resident.handle is None or resident.base is not None:
            return False
        inside = (resident, *resident.adapters)
        return not any(map(self._busy, inside)) and all(each.handle for each in inside)

    def _busy(self, resident: Resident) -> bool:
        """Whether a request that has begun needs it."""
        asked = resident.handle is not None and resident.handle.num_generations > 0
        return asked or resident.record.name in self.pins

    def expired(self, resident: Resident) -> bool:
        """Whether its keep-alive has passed, and nothing needs it."""
        return resident.expired and self.unused(resident)

    async def rest(self, resident: Resident) -> None:
        """Take a wanted model out of memory until it is asked for."""
        await self.stop(resident, 0.0)
        resident.state = State.IDLE
        self.on_change()

    async def stop(self, resident: Resident, drain_seconds: float) -> None:
        """Take it out of memory; its requests have `drain_seconds` to end."""
        handle, resident.handle = resident.handle, None
        try:
            if handle is not None:
                await handle.wait_idle(drain_seconds)
        finally:  # whoever is cancelled while requests end: it was taken out already
            if handle is not None:
                await handle.stop()
                self.on_engine_ended(resident.record.name, handle)
            if resident.base is not None:
                await self._leave(resident, resident.base)

    def _lost(self, resident: Resident) -> None:
        """Start a lost engine again, later each time it fails soon; its adapters with it."""
        for adapter in list(resident.adapters):
            if adapter.base is resident:
                resident.adapters.discard(adapter)
                adapter.base = None
                self._lost(adapter)
        if resident.handle is not None:
            resident.past_ended += resident.handle.ended
            resident.past_faults += resident.handle.faults
            self.on_engine_ended(resident.record.name, resident.handle)
        resident.handle = None
        if self.surplus(resident):
            del self.residents[resident.record.name]
        if not self.known(resident) or self.draining:
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
        while self.known(resident) and resident.handle is None:
            delay = min(_FIRST_BACKOFF * 2**resident.recent_losses, _MOST_BACKOFF)
            resident.recent_losses += 1
            await asyncio.sleep(delay)
            async with self.lock:
                if not self.known(resident) or resident.handle is not None:
                    return
                with contextlib.suppress(LlmosError):
                    await self.start(resident, lambda _: None)
                    return
                resident.state = State.RESTARTING
