"""Tokenizers and templates of the versions in use, kept ready."""

import asyncio
import contextlib
import ctypes
import gc
from collections import OrderedDict
from typing import Any

from llmosd.rpc import convert_chat
from llmosd.store.manifest import TOKENIZER
from llmosd.store.records import VersionRecord
from llmosd.store.versions import VersionStore
from llmosd.text.templates import TemplateRenderer
from llmosd.text.text_model import RenderedChat, TextModel

_KEPT = 8
_LARGEST_TOKENIZER = 64 * 1024 * 1024
_LARGE_CHAT = 64 * 1024


class TextModels:
    """A cache of TextModel by version name, least recently used out first."""

    def __init__(self, store: VersionStore, renderer: TemplateRenderer) -> None:
        self._store = store
        self._renderer = renderer
        self._models: OrderedDict[str, TextModel] = OrderedDict()
        self._lock = asyncio.Lock()

    async def get(self, record: VersionRecord) -> TextModel:
        """The text side of a version; parsing happens in a thread."""
        model = self._models.get(record.name)
        if model is None:
            async with self._lock:
                model = self._models.get(record.name)
                if model is None:
                    model = await asyncio.to_thread(self._load, record)
                    self._models[record.name] = model
        if record.name in self._models:
            self._models.move_to_end(record.name)
        while len(self._models) > _KEPT:
            self._models.popitem(last=False)
        return model

    async def warm(self, record: VersionRecord) -> None:
        """Be ready for the first request: tokenizer parsed, template worker up."""
        await self.get(record)
        await self._renderer.start()

    def forget(self, record: VersionRecord) -> None:
        """Drop a version that is unloaded or deleted, and give its memory back to the system."""
        if self._models.pop(record.name, None) is not None:
            _trim()

    async def encode_input(self, record: VersionRecord, request: Any) -> list[int]:
        """Token ids of a request's `text` or `chat`."""
        model = await self.get(record)
        if request.WhichOneof("input") == "chat":
            return (await render_chat(model, request.chat)).ids
        text = request.text
        return await model.encode(text.text, add_special=True, parse_special=text.parse_special)

    def _load(self, record: VersionRecord) -> TextModel:
        where = (record.model_id, record.version)
        return TextModel(
            self._store.read_file(*where, TOKENIZER, _LARGEST_TOKENIZER),
            self._store.generation_defaults(*where),
            self._store.chat_template(*where),
            self._renderer,
        )


def _trim() -> None:
    """Return freed pages: glibc keeps them otherwise, and a tokenizer has tens of megabytes."""
    gc.collect()
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


async def render_chat(model: TextModel, chat: Any) -> RenderedChat:
    """A ChatInput through the model's template; a large one beside the event loop."""
    if chat.ByteSize() < _LARGE_CHAT:
        return await model.render_chat(*convert_chat.chat(chat))
    return await model.render_chat(*await asyncio.to_thread(convert_chat.chat, chat), long=True)
