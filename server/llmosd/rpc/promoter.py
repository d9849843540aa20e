"""Moving an alias to another version while requests run, and back.

Until the one transaction that moves it, nothing that anybody sees has changed: whatever fails
before ends in the candidate's being unloaded. After it, requests and jobs that began on the old
version end there; then its process ends, unless another alias or its number (`wanted.pinned`) wants
it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple

import structlog

from llmosd.errors import AliasConflict, EngineLost, LlmosError, ModelInUse, ModelNotLoaded
from llmosd.ipc.messages import Loading
from llmosd.operations.manager import Report
from llmosd.rpc.gates import Asked, Gate
from llmosd.rpc.publishing import CANDIDATE
from llmosd.rpc.text_models import TextModels
from llmosd.store.aliases import PromotionRecord, Watching, before
from llmosd.store.catalog import Catalog
from llmosd.store.names import ModelRef
from llmosd.store.records import VersionRecord
from llmosd.store.run_events import ProgressEvent
from llmosd.supervisor.pool import ModelPool
from llmosd.supervisor.resident import Resident

_log = structlog.get_logger()


class Wish(NamedTuple):
    """A promotion as it was asked for; None: as the version is served that gives way."""

    record: VersionRecord
    alias: str
    asked: Asked
    keep_alive: float | None = None
    dtype: str | None = None
    watching: Watching | None = None


class Promoter:
    """Moves aliases. `on_moved` hears of every promotion; see probation.Probations."""

    def __init__(
        self,
        catalog: Catalog,
        pool: ModelPool,
        texts: TextModels,
        gates: Sequence[Gate],
    ) -> None:
        """`gates` are asked in order, those that need an engine after all others."""
        self._catalog = catalog
        self._pool = pool
        self._texts = texts
        self._gates = gates
        self._tasks: set[asyncio.Task[None]] = set()
        self.on_moved: Callable[[PromotionRecord], None] = lambda _: None

    async def promote(
        self, wish: Wish, operation_id: str, report: Report
    ) -> PromotionRecord | None:
        """Load, check, move, and let the old version go; None: the alias was there already.

        Raises:
            GateRefused, InsufficientMemory, ModelLoadFailed, AliasConflict, and what else loading
            raises; then the alias has not moved.
        """
        model_id, alias = wish.record.model_id, wish.alias
        number = self._catalog.aliases.at(model_id, alias)
        old = None if number is None else self._catalog.resolve(ModelRef(model_id, number))
        for gate in self._gates:
            if not gate.loaded:
                await gate.check(wish.record, old, wish.asked)
        served = self._pool.resident(old) if old else None
        keep_alive = wish.keep_alive if wish.keep_alive is not None else _keep_alive(served)
        dtype = wish.dtype or (served.dtype if served else None)
        known = self._pool.resident(wish.record) is not None
        with self._pool.pins.kept(wish.record), self._pool.pins.kept(old or wish.record):
            try:
                await self._ready(wish.record, keep_alive, dtype, report)
                report(ProgressEvent("check"))
                for gate in self._gates:
                    if gate.loaded:
                        await gate.check(wish.record, old, wish.asked)
                position = self._move(wish, number, operation_id)
            except BaseException:
                if not known:
                    await self._unload(wish.record)
                raise
        return self._moved(position, old)

    async def roll_back(self, model_id: str, alias: str, report: Report) -> PromotionRecord:
        """Load what the alias pointed at before its last move, and move it back.

        Raises:
            AliasConflict: there is nothing to take back.
            ModelNotFound: the version before was removed.
        """
        standing = self._catalog.aliases.standing(model_id, alias)
        old = self._catalog.resolve(ModelRef(model_id, before(standing)))
        now = self._catalog.resolve(ModelRef(model_id, standing.version))
        served = self._pool.resident(now)
        known = self._pool.resident(old) is not None
        with self._pool.pins.kept(old), self._pool.pins.kept(now):
            if served is not None:
                try:
                    await self._ready(old, served.keep_alive, served.dtype, report)
                except BaseException:
                    if not known:
                        await self._unload(old)
                    raise
            return self.take_back(standing, "it was asked for", automatic=False)

    def take_back(
        self, standing: PromotionRecord, reason: str, *, automatic: bool
    ) -> PromotionRecord:
        """Move an alias back at once; the version before is loaded by whoever asks for it first.

        Raises:
            AliasConflict, ModelNotFound: it cannot be.
        """
        old = self._catalog.resolve(ModelRef(standing.model_id, before(standing)))
        now = self._catalog.resolve(ModelRef(standing.model_id, standing.version))
        served = self._pool.resident(now)
        with self._catalog.atomically():
            self._catalog.aliases.take_back(standing, reason, automatic=automatic)
            if served is not None:
                self._pool.want(old, served.keep_alive, served.dtype)
                self._keep(old)
            self._let_go(now, left=True)
        _log.warning(
            "alias_rolled_back", model=standing.model_id, alias=standing.alias,
            left=now.name, back_to=old.name, reason=reason, automatic=automatic,
        )  # fmt: skip
        if served is not None and automatic:
            self._in_background(self._load_again(old))
        self._in_background(self._retire(now, left=True))
        return self._catalog.aliases.get(standing.position) or standing

    async def close(self) -> None:
        """Stop what goes on in the background."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _ready(
        self, record: VersionRecord, keep_alive: float | None, dtype: str | None, report: Report
    ) -> None:
        def progress(at: Loading) -> None:
            report(ProgressEvent(at.stage, at.completed, at.total, "tensors"))

        await asyncio.gather(
            self._pool.load(record, keep_alive, dtype, progress), self._texts.warm(record)
        )

    def _move(self, wish: Wish, number: int | None, operation_id: str) -> int | None:
        """The one transaction. Raises AliasConflict, EngineLost."""
        record = wish.record
        resident = self._pool.resident(record)
        if resident is None or resident.handle is None:
            raise EngineLost(
                f"{record.name} was unloaded or lost while it was checked", retry_after=1.0
            )
        with self._catalog.atomically():
            if self._catalog.aliases.at(record.model_id, wish.alias) != number:
                raise AliasConflict(f'alias "{wish.alias}" was moved meanwhile; try again')
            position = self._catalog.aliases.move(
                record.model_id, wish.alias, record.version, "PROMOTED",
                operation_id=operation_id, watching=wish.watching,
            )  # fmt: skip
            self._keep(record)
            if number is not None and number != record.version:
                self._let_go(self._catalog.resolve(ModelRef(record.model_id, number)))
        return position

    def _moved(self, position: int | None, old: VersionRecord | None) -> PromotionRecord | None:
        promotion = None if position is None else self._catalog.aliases.get(position)
        if promotion is None:
            return None
        _log.info(
            "alias_promoted", model=promotion.model_id, alias=promotion.alias,
            version=promotion.version, previous=promotion.previous,
        )  # fmt: skip
        self.on_moved(promotion)
        if old is not None:
            self._in_background(self._retire(old))
        return promotion

    def _needed(self, record: VersionRecord, *, left: bool) -> bool:
        """Whether anything but requests and jobs that run keeps a version in memory.

        That it is somebody's candidate does not, once it was `left` for the one before.
        """
        where = (record.model_id, record.version)
        aliases = set(self._catalog.aliases.of_version(*where)) - ({CANDIDATE} if left else set())
        return bool(aliases or self._catalog.pinned(*where))

    def _keep(self, record: VersionRecord) -> None:
        """Keep for the next daemon that a version is wanted; inside a transaction."""
        resident = self._pool.resident(record)
        if resident is not None:
            where = (record.model_id, record.version)
            self._catalog.set_wanted(*where, True, resident.keep_alive, resident.dtype)

    def _let_go(self, record: VersionRecord, *, left: bool = False) -> None:
        """The next daemon need not have it; inside a transaction."""
        if not self._needed(record, left=left):
            self._catalog.set_wanted(record.model_id, record.version, False)

    async def _retire(self, record: VersionRecord, *, left: bool = False) -> None:
        if await self._pool.retire(record, lambda: self._needed(record, left=left)):
            self._texts.forget(record)
            _log.info("model_retired", model=record.name)

    async def _load_again(self, record: VersionRecord) -> None:
        try:
            await self._pool.load(record, None, None, lambda _: None)
        except LlmosError as error:
            _log.error("rolled_back_version_not_loaded", model=record.name, reason=error.message)

    async def _unload(self, record: VersionRecord) -> None:
        """A candidate that came to nothing."""
        try:
            await self._pool.unload(record, force=True, on_end=lambda: self._texts.forget(record))
        except (ModelInUse, ModelNotLoaded):
            self._texts.forget(record)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _keep_alive(resident: Resident | None) -> float | None:
    return resident.keep_alive if resident else None
