"""Rows of a dataset as token ids with the loss's mask, one kind after the other."""

from collections.abc import AsyncIterator
from typing import Any

from llmosd.errors import ChatTemplateFailed, InvalidDataset
from llmosd.jobs.data.schema import Row
from llmosd.store.datasets import DatasetReader, Split
from llmosd.text.training_text import Encoded, TrainingText

# Kinds that have a prompt, and the fields that answer it: each an example of its own.
_ANSWERS = {
    "pairs": ("completion",),
    "rated": ("completion",),
    "preference": ("chosen", "rejected"),
}


class RowEncoder:
    """Makes examples of rows; `append_eos` ends what is not a conversation with the end token."""

    def __init__(self, text: TrainingText, *, append_eos: bool) -> None:
        self._text = text
        defaults = text.defaults
        bos = defaults.bos_token_id
        self._begin = [bos] if defaults.add_bos and bos is not None else []
        self._end = defaults.eos_token_ids[:1] if append_eos else []

    async def examples(
        self, reader: DatasetReader, split: Split | None
    ) -> AsyncIterator[tuple[int, Row, list[Encoded]]]:
        """Position, row and examples of the rows of a split.

        Raises:
            InvalidDataset: naming the row that cannot be encoded.
            FeatureUnavailable: conversations, and no template.
        """
        for index, row in reader.rows(split):
            try:
                encoded = await self._encoded(reader.kind, row)
            except (ChatTemplateFailed, InvalidDataset) as error:
                raise InvalidDataset(f"row {index}: {error.message}") from None
            if not all(any(example.mask) for example in encoded):
                raise InvalidDataset(
                    f"row {index} has no token to learn from: its answer encodes to nothing"
                )
            yield index, row, encoded

    async def _encoded(self, kind: str, row: dict[str, Any]) -> list[Encoded]:
        if kind == "chat":
            return [await self._text.conversation(row["messages"])]
        if kind in _ANSWERS:
            return [await self._answered(row["prompt"], row[name]) for name in _ANSWERS[kind]]
        own = self._text.plain(row["text"]) + self._end
        if self._text.start:
            # What reads a prompt first has nothing to write of a text but the text.
            before = self._begin + self._text.plain(row["text"]) + self._text.start
            return [Encoded(before + own, [0] * len(before) + [1] * len(own))]
        return [Encoded(self._begin + own, [0] * len(self._begin) + [1] * len(own))]

    async def _answered(self, prompt: str, answer: str) -> Encoded:
        """A prompt and its answer; a chat model sees them as a conversation."""
        if self._text.has_template:
            return await self._text.conversation(
                [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
            )
        before = self._begin + self._text.plain(prompt) + self._text.start
        own = self._text.plain(answer) + self._end
        return Encoded(before + own, [0] * len(before) + [1] * len(own))
