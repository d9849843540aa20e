"""The time after a promotion in which a version that fails is left again, by itself."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import structlog

from llmosd.errors import LlmosError
from llmosd.store.aliases import AliasTable, PromotionRecord, Watching
from llmosd.store.names import version_name
from llmosd.store.records import now
from llmosd.supervisor.pool import ModelPool
from llmosd.supervisor.resident import Resident, State

_log = structlog.get_logger()
_LOOK_SECONDS = 0.1
# Of fewer requests a share says little.
FEWEST = 20


class Tally(NamedTuple):
    """What a version's processes went through so far."""

    losses: int
    ended: int
    faults: int


class Probations:
    """Watches promotions until their time is over."""

    def __init__(
        self,
        aliases: AliasTable,
        pool: ModelPool,
        take_back: Callable[[PromotionRecord, str], object],
    ) -> None:
        """`take_back` moves an alias back, and is told why."""
        self._aliases = aliases
        self._pool = pool
        self._take_back = take_back
        self._tasks: set[asyncio.Task[None]] = set()

    def restore(self) -> None:
        """At start: go on with those that an earlier daemon watched."""
        for promotion in self._aliases.watched():
            self.watch(promotion)

    def watch(self, promotion: PromotionRecord) -> None:
        """Begin with what the version has gone through up to now."""
        if promotion.watching is not None and promotion.watching.seconds > 0:
            task = asyncio.create_task(self._watch(promotion, promotion.watching))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop watching; the next daemon goes on."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watch(self, promotion: PromotionRecord, limits: Watching) -> None:
        name = version_name(promotion.model_id, promotion.version)
        resident = self._find(name)
        first = tally(resident)
        while promotion.probation_end is not None and now() < promotion.probation_end:
            await asyncio.sleep(_LOOK_SECONDS)
            if not self._stands(promotion):
                return
            found = self._find(name)
            if found is not resident:  # unloaded and loaded again: its counts began anew
                resident, first = found, tally(None)
            reason = verdict(first, tally(found), limits)
            if reason is None and found is not None and found.state is State.FAILED:
                reason = "its process could not be started"
            if reason is not None:
                self._go_back(promotion, f"{name}: {reason}")
                return

    def _go_back(self, promotion: PromotionRecord, reason: str) -> None:
        try:
            self._take_back(promotion, reason)
        except LlmosError as error:
            _log.error(
                "alias_not_rolled_back", model=promotion.model_id, alias=promotion.alias,
                reason=reason, problem=error.message,
            )  # fmt: skip

    def _stands(self, promotion: PromotionRecord) -> bool:
        """Whether the alias is where this promotion left it."""
        if self._aliases.at(promotion.model_id, promotion.alias) != promotion.version:
            return False
        found = self._aliases.get(promotion.position)
        return found is not None and found.rollback_time is None

    def _find(self, name: str) -> Resident | None:
        return next((r for r in self._pool.residents() if r.record.name == name), None)


def tally(resident: Resident | None) -> Tally:
    """The counts of a version, zeros where it is not wanted in memory."""
    if resident is None:
        return Tally(0, 0, 0)
    return Tally(resident.restarts, resident.ended, resident.faults)


def verdict(first: Tally, last: Tally, limits: Watching) -> str | None:
    """Why a version is to be left, as a clause; None: it is not."""
    losses = last.losses - first.losses
    if losses > limits.losses:
        return f"its process was lost {losses} times, and {limits.losses} are borne"
    ended, faults = last.ended - first.ended, last.faults - first.faults
    if ended >= FEWEST and faults > limits.share * ended:
        return (
            f"{faults} of {ended} requests failed by its fault, more than {limits.share:g} of them"
        )
    return None
