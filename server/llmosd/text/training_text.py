"""Texts and conversations as a model is trained on them: ids, and which of them are its own words.

Built on `TextModel`, so that training sees what generating will see: the same template, and control
tokens in what people wrote are ordinary characters.
"""

from typing import Any, NamedTuple

from llmosd.errors import FeatureUnavailable, InvalidDataset
from llmosd.text.template_messages import Render
from llmosd.text.text_model import TextModel
from llmosd.text.tools import native_format, without_tools

Message = dict[str, Any]


class Encoded(NamedTuple):
    """Token ids, and for each whether it is a target of the loss."""

    ids: list[int]
    mask: list[int]


class TrainingText(TextModel):
    """The text side of a model, for rows of a dataset."""

    @property
    def has_template(self) -> bool:
        """Conversations can be rendered."""
        return self._template is not None

    def plain(self, text: str) -> list[int]:
        """Ids of a text somebody wrote."""
        return self._encode_plain(text)

    @property
    def start(self) -> list[int]:
        """What ends a prompt, if anything does."""
        start = self.defaults.start_token_id
        return [] if start is None else [start]

    async def prompt(self, text: str) -> list[int]:
        """Ids of a question to a model with a template, of a beginning to any other."""
        if self._template is None:
            begin = [self.defaults.bos_token_id] if self.defaults.add_bos else []
            ids = [token for token in begin if token is not None] + self.plain(text)
            return ids + self.start
        marks: dict[str, str] = {}
        message = {"role": "user", "content": self._hide(text, marks)}
        return self._ids(await self._rendered([message], generation_prompt=True), marks)

    async def conversation(self, messages: list[Message]) -> Encoded:
        """A conversation through the template; the assistant's turns are targets.

        It is rendered prefix by prefix: what a turn adds is what the model has to say, up to and
        with its end token.

        Raises:
            FeatureUnavailable: the model has no template.
            ChatTemplateFailed: the template refuses, fails, or takes too long.
            InvalidDataset: the template changes what came before, so turns cannot be told apart.
        """
        if self._template is None:
            raise FeatureUnavailable(
                "this model has no chat template; use a chat model, or rows of kind pairs"
            )
        if native_format(self._template) is None:
            messages = without_tools(messages, None)
        marks: dict[str, str] = {}
        hidden = [
            {**message, "content": self._hide(message["content"], marks)} for message in messages
        ]
        ids: list[int] = []
        mask: list[int] = []
        done = ""
        for at, message in enumerate(hidden):
            if message["role"] != "assistant":
                continue
            prompt = await self._rendered(hidden[:at], generation_prompt=True)
            turn = await self._rendered(hidden[: at + 1], generation_prompt=False)
            if not (prompt.startswith(done) and turn.startswith(prompt)):
                raise InvalidDataset(
                    f"the chat template renders messages[{at}] differently once it is in the "
                    "conversation, so its tokens cannot be told from the prompt's"
                )
            before = self._ids(prompt[len(done) :], marks)
            own = self._ids(turn[len(prompt) :], marks)
            ids += before + own
            mask += [0] * len(before) + self._own_mask(own)
            done = turn
        return Encoded(ids, mask)

    def _ids(self, rendered: str, marks: dict[str, str]) -> list[int]:
        if not marks:
            return self._encode_special(rendered)
        return self._encode_marked(rendered, marks).ids

    async def _rendered(self, messages: list[Message], *, generation_prompt: bool) -> str:
        assert self._template is not None
        bos, eos = self.defaults.bos_token or "", self.defaults.eos_token or ""
        return await self._renderer.render(
            Render(self._template, messages, None, bos, eos, generation_prompt)
        )

    def _own_mask(self, ids: list[int]) -> list[int]:
        """Ones up to and with the end token; what the template writes behind it is not said."""
        ends = [at for at, token in enumerate(ids) if token in self.defaults.eos_token_ids]
        said = ends[0] + 1 if ends else len(ids)
        return [1] * said + [0] * (len(ids) - said)
