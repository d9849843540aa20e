"""From a text to its posterior: asks an engine, and waits."""

from llmosd.errors import InvalidField
from llmosd.rpc import convert
from llmosd.rpc.caller import Caller
from llmosd.rpc.questions import ask
from llmosd.rpc.text_models import TextModels
from llmosd.store.records import VersionRecord
from llmosd.supervisor.pool import ModelPool


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
        return await ask(self._pool, record, "encode", ids, caller)
