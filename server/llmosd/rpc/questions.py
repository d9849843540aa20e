"""Questions to engines that are answered at once, by numbers: nothing is drawn."""

import asyncio

from llmosd.errors import LlmosError
from llmosd.ipc.messages import NORMAL, SamplingSpec, Scored, Submit, Task
from llmosd.rpc.caller import Caller
from llmosd.store.records import VersionRecord
from llmosd.supervisor.engine_handle import Listener
from llmosd.supervisor.pool import ModelPool

_UNUSED = SamplingSpec(0.0, 0, 1.0, 0.0, 1.0, 0.0, 0.0, 0, {})


async def ask(
    pool: ModelPool,
    record: VersionRecord,
    task: Task,
    ids: list[int],
    caller: Caller,
    priority: int = NORMAL,
) -> list[float]:
    """What the engine of a version says of a text; see Task.

    Raises:
        ModelNotLoaded, QueueFull, DeadlineUnattainable, and what else an engine refuses by.
    """
    handle = await pool.acquire(record)
    answer = _Answer(len(ids) - 1 if task == "score" else 0)
    number = handle.submit(
        answer,
        lambda number: Submit(
            number, ids, 1, 0, 0, [], _UNUSED, -1, task=task,
            tenant=caller.tenant, priority=priority, deadline=caller.deadline,
        ),
    )  # fmt: skip
    try:
        return await answer.result
    finally:
        handle.cancel(number)


class _Answer(Listener):
    """Collects what comes, in one piece or, of tokens, in several."""

    def __init__(self, count: int) -> None:
        """`count` numbers follow the first token; 0: they are as many as come."""
        self.result: asyncio.Future[list[float]] = asyncio.get_running_loop().create_future()
        self._numbers = [0.0] * count

    def on_scored(self, scored: Scored) -> None:
        # By place: an engine that was short of room computes some of it twice.
        first = max(scored.first - 1, 0)
        self._numbers[first : first + len(scored.logprobs)] = scored.logprobs
        if scored.done and not self.result.done():
            self.result.set_result(self._numbers)

    def on_failed(self, error: LlmosError) -> None:
        if not self.result.done():
            self.result.set_exception(error)
