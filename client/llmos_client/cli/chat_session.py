"""A conversation on one Converse stream: the daemon holds its history, this holds a copy.

The copy is for what the stream cannot do: other parameters, another system message, an answer
once more, and going on after the daemon lost the generation.
"""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from llmos_client.client import Client
from llmos_client.errors import LlmosError
from llmos_client.generations import Completed, Delta, Failed, Finished, FinishReason, Rejected
from llmos_client.streams import Conversation


class ChatSession:
    """Turns of one conversation with one model."""

    def __init__(
        self, client: Client, model: str, options: dict[str, Any], system: str | None = None
    ) -> None:
        self.options = options
        self.system = system
        self.turns: list[dict[str, str]] = []
        self.finish = ""
        self.completed: Completed | None = None
        self._client = client
        self._model = model
        self._talk: Conversation | None = None
        # The generation that has the history; None: the next turn begins one with the copy.
        self._generation: str | None = None
        self._answering: str | None = None

    def ask(self, text: str) -> Iterator[str]:
        """Send a turn of the user's; iterate over the answer's text."""
        self.turns.append({"role": "user", "content": text})
        return self._answer()

    def regenerate(self) -> Iterator[str]:
        """Answer the last turn once more."""
        while self.turns and self.turns[-1]["role"] == "assistant":
            self.turns.pop()
        if not self.turns:
            raise ValueError("there is no turn to answer yet")
        self.begin_anew()
        return self._answer()

    def begin_anew(self) -> None:
        """Let the next turn begin a generation, with the history as it is here."""
        self._generation = None

    def clear(self) -> None:
        """Forget all turns but the system message."""
        self.turns.clear()
        self.begin_anew()

    def interrupt(self) -> None:
        """End the answer that is coming; safe inside a signal handler."""
        if self._talk is not None and self._answering is not None:
            self._talk.cancel(self._answering)

    def close(self) -> None:
        """End the stream."""
        if self._talk is not None:
            self._talk.close()
            self._talk = None
        self.begin_anew()

    def _answer(self) -> Iterator[str]:
        pieces: list[str] = []
        try:
            if not self._append():
                self._start()
            for piece in self._read():
                pieces.append(piece)
                yield piece
        except LlmosError:
            # The turn was not answered: it can be asked again.
            self.turns.pop()
            self.close()
            raise
        finally:
            self._answering = None
        self.turns.append({"role": "assistant", "content": "".join(pieces)})
        if self.finish == FinishReason.CANCELLED:
            self.begin_anew()

    def _append(self) -> bool:
        if self._generation is None or self._talk is None:
            return False
        self._answering = self._generation
        self._talk.append(self._generation, [self.turns[-1]])
        return True

    def _start(self) -> None:
        if self._talk is None:
            self._talk = self._client.converse()
        self._generation = self._answering = uuid4().hex
        head = [{"role": "system", "content": self.system}] if self.system else []
        # A message may not be empty, an answer may.
        said = [turn for turn in self.turns if turn["content"]]
        self._talk.start(self._generation, self._model, messages=[*head, *said], **self.options)

    def _read(self) -> Iterator[str]:
        assert self._talk is not None
        self.completed = None
        for event in self._talk:
            if event.generation_id != self._answering:
                continue
            if isinstance(event, Delta):
                yield event.text
            elif isinstance(event, Finished):
                self.finish = event.finish_reason
            elif isinstance(event, Completed):
                self.completed = event
                return
            elif isinstance(event, Rejected) and event.error.reason == "GENERATION_NOT_FOUND":
                self._start()
            elif isinstance(event, Failed | Rejected):
                raise event.error
