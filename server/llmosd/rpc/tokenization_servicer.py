"""llmos.v1.TokenizationService: translate, call, translate."""

import asyncio
from collections.abc import Sequence
from typing import Any

from llmos.v1 import tokenization_service_pb2 as pb
from llmos.v1 import tokenization_service_pb2_grpc
from llmosd.rpc import convert
from llmosd.rpc.text_models import TextModels, render_chat
from llmosd.store.catalog import Catalog
from llmosd.store.names import ModelRef
from llmosd.store.records import VersionRecord
from llmosd.text.text_model import TextModel

# More tokens are spelled out in a thread, so that the event loop answers others meanwhile.
_MANY = 4096


class TokenizationServicer(tokenization_service_pb2_grpc.TokenizationServiceServicer):
    """Needs no engine."""

    def __init__(self, catalog: Catalog, texts: TextModels) -> None:
        self._catalog = catalog
        self._texts = texts

    async def Tokenize(self, request: pb.TokenizeRequest, _context: Any) -> pb.TokenizeResponse:
        """Text to tokens."""
        model = await self._texts.get(self._resolve(request.model))
        ids = await model.encode(
            request.text, add_special=request.add_special, parse_special=request.parse_special
        )
        if len(ids) < _MANY:
            return _spelled(model, ids)
        return await asyncio.to_thread(_spelled, model, ids)

    async def Detokenize(
        self, request: pb.DetokenizeRequest, _context: Any
    ) -> pb.DetokenizeResponse:
        """Tokens to text."""
        record = self._resolve(request.model)
        convert.check_ids("ids", request.ids, record.vocabulary_size)
        model = await self._texts.get(record)
        text = await asyncio.to_thread(
            model.detokenize, request.ids, keep_special=request.keep_special
        )
        return pb.DetokenizeResponse(text=text)

    async def RenderChat(
        self, request: pb.RenderChatRequest, _context: Any
    ) -> pb.RenderChatResponse:
        """A conversation through the model's chat template."""
        model = await self._texts.get(self._resolve(request.model))
        rendered = await render_chat(model, request.chat)
        return pb.RenderChatResponse(text=rendered.text, ids=rendered.ids)

    def _resolve(self, name: str) -> VersionRecord:
        return self._catalog.resolve(ModelRef.parse(name))


def _spelled(model: TextModel, ids: Sequence[int]) -> pb.TokenizeResponse:
    spell, special = model.vocabulary.token_bytes, model.vocabulary.is_special
    return pb.TokenizeResponse(
        tokens=[pb.Token(id=at, bytes=spell(at), special=special(at)) for at in ids]
    )
