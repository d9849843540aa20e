"""A short greedy answer to a prompt of token ids, as numbers."""

import asyncio
import math

from llmosd.errors import LlmosError
from llmosd.ipc.messages import SamplingSpec, Submit, TokenOut
from llmosd.store.records import VersionRecord
from llmosd.supervisor.model_handle import Listener
from llmosd.supervisor.pool import ModelPool

_GREEDY = SamplingSpec(0.0, 0, 1.0, 0.0, 1.0, 0.0, 0.0, 0, {})


async def probe(
    pool: ModelPool, record: VersionRecord, ids: list[int], count: int, tenant: str
) -> list[float]:
    """Ids and log-probabilities of the `count` most likely next tokens, one after the other.

    Raises:
        ModelNotLoaded, EngineLost, QueueFull, and what else an engine refuses by.
    """
    handle = await pool.acquire(record)
    answer = _Answer()
    number = handle.submit(
        answer, lambda number: Submit(number, ids, 1, count, 0, [], _GREEDY, 0, tenant=tenant)
    )
    try:
        return await answer.result
    finally:
        handle.cancel(number)


class _Answer(Listener):
    """Collects tokens until the last one."""

    def __init__(self) -> None:
        self.result: asyncio.Future[list[float]] = asyncio.get_running_loop().create_future()
        self._numbers: list[float] = []

    def on_token(self, token: TokenOut) -> None:
        logprob = math.nan if token.logprob is None else token.logprob
        self._numbers += [float(token.token), logprob]
        if token.finish and not self.result.done():
            self.result.set_result(self._numbers)

    def on_failed(self, error: LlmosError) -> None:
        if not self.result.done():
            self.result.set_exception(error)
