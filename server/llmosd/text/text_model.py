"""The text side of one model version: what its engine, which knows ids only, cannot do."""

import asyncio
import os
import re
import secrets
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from tokenizers import Tokenizer

from llmosd.errors import FeatureUnavailable
from llmosd.store.manifest import GenerationDefaults
from llmosd.text.detokenizer import Detokenizer
from llmosd.text.template_messages import Render
from llmosd.text.templates import TemplateRenderer
from llmosd.text.tools import HERMES, ToolFormat, native_format, without_tools
from llmosd.text.vocabulary import Vocabulary

# Batches of one text need no threads of the tokenizer's own.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Longer texts are encoded in a thread, so that the event loop answers others meanwhile.
_LONG_TEXT = 16_384

T = TypeVar("T")


class RenderedChat(NamedTuple):
    """A conversation as text and as token ids."""

    text: str
    ids: list[int]


class TextModel:
    """Tokenizer, vocabulary, chat template and generation defaults of a version."""

    def __init__(
        self,
        tokenizer_json: bytes,
        defaults: GenerationDefaults,
        template: str | None,
        renderer: TemplateRenderer,
    ) -> None:
        """Parse the tokenizer; takes tens of milliseconds per 50,000 tokens."""
        self.defaults = defaults
        self.vocabulary = Vocabulary(tokenizer_json)
        self._template = template
        self._renderer = renderer
        self._tokenizer = Tokenizer.from_buffer(tokenizer_json)
        names = sorted(self.vocabulary.special, key=len, reverse=True)
        self._long = asyncio.Lock()
        self._special = re.compile("|".join(map(re.escape, names)) or r"(?!)")
        # Templates may change the case of what they are given.
        self._any_case = re.compile(self._special.pattern, re.IGNORECASE)

    async def encode(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids of a text.

        With `add_special` the tokenizer's beginning-of-sequence token comes first, and the token
        that ends a prompt last, where the model wants them; without `parse_special`, control tokens
        in the text are ordinary characters.
        """
        encode = self._encode_special if parse_special else self._encode_plain
        ids = await self._run(text, encode)
        if not add_special:
            return ids
        bos, start = self.defaults.bos_token_id, self.defaults.start_token_id
        if self.defaults.add_bos and bos is not None and ids[:1] != [bos]:
            ids = [bos, *ids]
        if start is not None and ids[-1:] != [start]:
            ids = [*ids, start]
        return ids

    @property
    def prefix_id(self) -> int | None:
        """What stands for "nothing before": the token that begins texts, else the one that ends."""
        ends = self.defaults.eos_token_ids
        begin = self.defaults.bos_token_id
        return begin if begin is not None else next(iter(ends), None)

    async def render_chat(
        self,
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]] | None,
        *,
        long: bool = False,
    ) -> RenderedChat:
        """A conversation through the chat template, ready for the assistant's turn.

        A `long` one is prepared in a thread, so that the event loop answers others meanwhile.

        What users wrote stays text: control tokens in it are hidden from the template and the
        tokenizer behind marks, and encoded as the characters they are written with.

        Raises:
            FeatureUnavailable: the model has no template.
            ChatTemplateFailed: the template refuses, fails, or takes too long.
        """
        template = self._template
        if template is None:
            raise FeatureUnavailable("this model has no chat template; send text instead")
        if native_format(template) is None:
            messages, tools = without_tools(messages, tools), None
        marks: dict[str, str] = {}
        given: Any = [messages, tools]
        if long:
            given = await asyncio.to_thread(_replace, given, lambda text: self._hide(text, marks))
        else:
            given = _replace(given, lambda text: self._hide(text, marks))
        safe_messages, safe_tools = given
        bos, eos = self.defaults.bos_token or "", self.defaults.eos_token or ""
        request = Render(template, safe_messages, safe_tools, bos, eos)
        rendered = await self._renderer.render(request)
        if not marks:
            return RenderedChat(rendered, await self._run(rendered, self._encode_special))
        return await self._run(rendered, lambda text: self._encode_marked(text, marks))

    @property
    def tool_format(self) -> ToolFormat:
        """How the model is told to write calls."""
        return native_format(self._template or "") or HERMES

    def detokenize(self, ids: Sequence[int], *, keep_special: bool = False) -> str:
        """Text of token ids."""
        detokenizer = Detokenizer(self.vocabulary, keep_special=keep_special)
        return "".join(map(detokenizer.add, ids)) + detokenizer.flush()

    @cached_property
    def _plain(self) -> Tokenizer:
        """The same tokenizer, blind to control tokens: for text that somebody else wrote."""
        plain = Tokenizer.from_str(self._tokenizer.to_str())
        plain.encode_special_tokens = True
        return plain

    async def _run(self, text: str, work: Callable[[str], T]) -> T:
        """Do `work` on a text; a long one in a thread, and one at a time: it takes memory."""
        if len(text) < _LONG_TEXT:
            return work(text)
        async with self._long:
            return await asyncio.to_thread(work, text)

    def _encode_special(self, text: str) -> list[int]:
        return _encode(self._tokenizer, text)

    def _encode_plain(self, text: str) -> list[int]:
        return _encode(self._plain, text)

    def _hide(self, text: str, marks: dict[str, str]) -> str:
        """Put a mark, which no template knows, in the place of each control token.

        `marks` is control token to mark, and grows. Marks hold no letters, which a template might
        change to upper or lower case.
        """

        def mark(match: re.Match[str]) -> str:
            token = match[0]
            if token not in marks:
                marks[token] = f"\ue000{secrets.randbelow(10**18)}\ue001"
            return marks[token]

        return self._any_case.sub(mark, text)

    def _encode_marked(self, rendered: str, marks: dict[str, str]) -> RenderedChat:
        """Encode between the template's own control tokens, with the marks' texts put back."""
        originals = {mark: original for original, mark in marks.items()}
        any_mark = re.compile("|".join(map(re.escape, originals)))

        def restore(text: str) -> str:
            return any_mark.sub(lambda match: originals[match[0]], text)

        ids: list[int] = []
        at = 0
        for match in self._special.finditer(rendered):
            ids += self._encode_plain(restore(rendered[at : match.start()]))
            ids.append(self.vocabulary.special[match[0]])
            at = match.end()
        ids += self._encode_plain(restore(rendered[at:]))
        return RenderedChat(restore(rendered), ids)


def _encode(tokenizer: Tokenizer, text: str) -> list[int]:
    # A batch, because only that lets other threads run meanwhile.
    return list(tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids)


def _replace(value: Any, change: Any) -> Any:
    """`value` with `change` applied to every string in it, names of an object's fields included."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_replace(item, change) for item in value]
    if isinstance(value, dict):
        return {change(key): _replace(item, change) for key, item in value.items()}
    return value
