"""From a text to its posterior: asks an engine, and waits."""

import asyncio

from llmosd.errors import InvalidField, LlmosError
from llmosd.ipc.messages import SamplingSpec, Scored, Submit
from llmosd.rpc import convert
from llmosd.rpc.caller import Caller
from llmosd.rpc.text_models import TextModels
from llmosd.store.records import VersionRecord
from llmosd.supervisor.engine_handle import Listener
from llmosd.supervisor.pool import ModelPool

_UNUSED = SamplingSpec(0.0, 0, 1.0, 0.0, 1.0, 0.0, 0.0, 0, {})


class Encoder:
    """Finds what models with latent vectors make of texts."""

    def __init__(self, texts: TextModels, pool: ModelPool) -> None:
        self._texts = texts
        self._pool = pool

    async def encode(
        self, record: VersionRecord, field: str, text: str, caller: Caller
    ) -> list[float]:
        """Mean, then log-variance, of the text that the request's `field` has.

        Raises:
            InvalidField: a text without a token.
            ContextLengthExceeded, ModelNotLoaded, QueueFull, and what else an engine refuses by.
        """
        model = await self._texts.get(record)
        ids = await model.encode(text, add_special=True, parse_special=False)
        if len(ids) < 2:
            raise InvalidField.of(field, "makes no tokens; send some text")
        convert.check_room(len(ids), 0, record)
        handle = await self._pool.acquire(record)
        waiting = _Waiting()
        number = handle.submit(
            waiting,
            lambda number: Submit(
                number, ids, 1, 0, 0, [], _UNUSED, -1, encode=True,
                tenant=caller.tenant, deadline=caller.deadline,
            ),
        )  # fmt: skip
        try:
            return await waiting.result
        finally:
            handle.cancel(number)


class _Waiting(Listener):
    """Hears what an engine found."""

    def __init__(self) -> None:
        self.result: asyncio.Future[list[float]] = asyncio.get_running_loop().create_future()

    def on_scored(self, scored: Scored) -> None:
        if not self.result.done():
            self.result.set_result(scored.logprobs)

    def on_failed(self, error: LlmosError) -> None:
        if not self.result.done():
            self.result.set_exception(error)
