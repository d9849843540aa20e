"""Questions to engines that are answered at once, by numbers: nothing is drawn."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple, TypeVar

from llmosd.errors import LlmosError
from llmosd.ipc.messages import NORMAL, Pooling, SamplingSpec, Scored, Scoring, Submit, Task
from llmosd.rpc.caller import Caller
from llmosd.store.records import VersionRecord
from llmosd.supervisor.model_handle import Listener
from llmosd.supervisor.pool import ModelPool

_UNUSED = SamplingSpec(0.0, 0, 1.0, 0.0, 1.0, 0.0, 0.0, 0, {})
# Questions of one call that are with the engine at once: it runs few more together anyway.
_AT_ONCE = 16

T = TypeVar("T")


class TokenScore(NamedTuple):
    """How likely a token is in its place: rank 1 is the likeliest; `top` are the likeliest ones."""

    logprob: float
    rank: int
    top: list[tuple[int, float]]


async def ask(
    pool: ModelPool,
    record: VersionRecord,
    task: Task,
    ids: list[int],
    caller: Caller,
    priority: int = NORMAL,
    pooling: Pooling = "mean",
) -> list[float]:
    """What the engine of a version says of a text; see Task.

    Raises:
        ModelNotLoaded, QueueFull, DeadlineUnattainable, and what else an engine refuses by.
    """
    found = await _asked(pool, record, task, ids, caller, priority, pooling=pooling)
    return [number for scored in found for number in scored.logprobs]


async def score(
    pool: ModelPool,
    record: VersionRecord,
    ids: list[int],
    caller: Caller,
    priority: int = NORMAL,
    *,
    first: int = 1,
    top: int = 0,
) -> list[TokenScore]:
    """How likely each token from place `first` on is; raises what `ask` does.

    What comes before `first` may be found in the engine's cache, so texts that begin alike are
    computed once from the first answer on.
    """
    scoring = Scoring(first, ids[-1], top)
    found = await _asked(pool, record, "score", ids[:-1], caller, priority, scoring=scoring)
    # By place: an engine that was short of room computes some of it twice.
    scores: dict[int, TokenScore] = {}
    for scored in found:
        likeliest = scored.top or [[] for _ in scored.logprobs]
        rows = zip(scored.logprobs, scored.ranks, likeliest, strict=True)
        scores |= {scored.first + at: TokenScore(*row) for at, row in enumerate(rows)}
    return [scores[at] for at in range(first, len(ids))]


async def together(questions: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """Answers in the order of the questions; the first error ends them all."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(question: Callable[[], Awaitable[T]]) -> T:
        async with places:
            return await question()

    tasks = [asyncio.create_task(one(question)) for question in questions]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _asked(
    pool: ModelPool,
    record: VersionRecord,
    task: Task,
    ids: list[int],
    caller: Caller,
    priority: int,
    *,
    scoring: Scoring | None = None,
    pooling: Pooling = "mean",
) -> list[Scored]:
    handle = await pool.acquire(record)
    answer = _Answer()
    number = handle.submit(
        answer,
        lambda number: Submit(
            number, ids, 1, 0, 0, [], _UNUSED, -1, task=task, tenant=caller.tenant,
            priority=priority, deadline=caller.deadline, scoring=scoring, pooling=pooling,
        ),
    )  # fmt: skip
    try:
        return await answer.result
    finally:
        handle.cancel(number)


class _Answer(Listener):
    """Collects what comes, in one piece or, of tokens, in several."""

    def __init__(self) -> None:
        self.result: asyncio.Future[list[Scored]] = asyncio.get_running_loop().create_future()
        self._parts: list[Scored] = []

    def on_scored(self, scored: Scored) -> None:
        self._parts.append(scored)
        if scored.done and not self.result.done():
            self.result.set_result(self._parts)

    def on_failed(self, error: LlmosError) -> None:
        if not self.result.done():
            self.result.set_exception(error)
