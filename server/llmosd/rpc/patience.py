"""How jobs inside ask models: as any caller, but with all the time there is."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from llmosd.errors import (
    ChatTemplateFailed,
    ContextLengthExceeded,
    EngineLost,
    InsufficientMemory,
    InvalidField,
    ModelNotLoaded,
    QueueFull,
    ServerDraining,
)
from llmosd.jobs.context import JobContext, JobInterrupted
from llmosd.store.catalog import Catalog
from llmosd.store.names import ModelRef
from llmosd.store.records import VersionRecord
from llmosd.supervisor.pool import ModelPool

_AGAIN_SECONDS = 0.5
_NO_MEMORY_SECONDS = 5.0

ROW_FAULTS = (InvalidField, ContextLengthExceeded, ChatTemplateFailed)
"""What is wrong with a row and not with the moment."""

T = TypeVar("T")


class Patience:
    """Asks a model again for as long as what is in the way will pass."""

    def __init__(self, catalog: Catalog, pool: ModelPool, context: JobContext, model: str) -> None:
        """`model` is a version's name; nobody need have loaded it."""
        self._catalog, self._pool, self._context = catalog, pool, context
        self._model = model
        self._warned = False
        # Also between two questions, for as long as the job runs.
        pool.pins.hold(self.want())

    def want(self) -> VersionRecord:
        """Say that the version is to be served; the next question loads it."""
        record = self._catalog.resolve(ModelRef.parse(self._model))
        self._pool.want(record, None, None)
        return record

    async def __call__(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` answers in the end; it may be called several times.

        Raises:
            JobInterrupted, OperationCancelled: the job is to end, or to wait.
            Everything else that `ask` raises and that will not pass.
        """
        while True:
            self._context.check_cancelled()
            try:
                return await ask()
            except ServerDraining:
                raise JobInterrupted("stop") from None
            except ModelNotLoaded:  # somebody unloaded it: this job still wants it
                self.want()
            except (QueueFull, EngineLost):
                await asyncio.sleep(_AGAIN_SECONDS)
            except InsufficientMemory as error:
                if not self._warned:
                    self._context.warn(error.message)
                self._warned = True
                await asyncio.sleep(_NO_MEMORY_SECONDS)
