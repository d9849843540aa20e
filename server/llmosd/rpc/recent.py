"""What was asked and answered lately, in memory: what people can say something about.

Nothing of it is written down. Whoever consents has a copy put into the catalog with the verdict.
"""

from collections import OrderedDict
from typing import Any, NamedTuple

import msgspec

from llmos.v1 import chat_pb2
from llmosd.errors import GenerationNotFound, InvalidField
from llmosd.store.records import VersionRecord

_MOST = 4096
_MOST_CHARACTERS = 64 * 1024 * 1024


class Remembered(NamedTuple):
    """An ended generation: who answered what for whom; `prompt` is JSON, see FeedbackRecord."""

    record: VersionRecord
    tenant: str
    prompt: str
    answers: tuple[str, ...]

    @property
    def size(self) -> int:
        """Characters."""
        return len(self.prompt) + sum(map(len, self.answers))

    def answer(self, choice: int, field: str = "choice") -> str:
        """One of the answers; raises InvalidField, naming `field`."""
        if choice >= len(self.answers):
            raise InvalidField.of(field, f"there are {len(self.answers)} answers, from 0 on")
        return self.answers[choice]


class Recent:
    """The newest generations, by name."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Remembered] = OrderedDict()
        self._size = 0

    def add(self, name: str, remembered: Remembered) -> None:
        """Remember one; the oldest ones go where there are too many."""
        self._known[name] = remembered
        self._size += remembered.size
        while len(self._known) > _MOST or self._size > _MOST_CHARACTERS:
            self._size -= self._known.popitem(last=False)[1].size

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def get(self, name: str, tenant: str) -> Remembered:
        """One of them, of the tenant that asked for it; raises GenerationNotFound for any other."""
        found = self._known.get(name)
        if found is None or found.tenant != tenant:
            raise GenerationNotFound(
                f"{name} is not known: only answers of this daemon's last {_MOST:,} can be judged, "
                "by the tenant that they were given to"
            )
        return found

    def forget(self, texts: set[str]) -> None:
        """Drop generations whose answer is one of `texts`."""
        for name in [n for n, each in self._known.items() if texts & set(each.answers)]:
            self._size -= self._known.pop(name).size


def prompt_json(request: Any) -> str:
    """A request's input as JSON: its text, its messages, or "" for tokens alone."""
    kind = request.WhichOneof("input")
    if kind == "text":
        return msgspec.json.encode(request.text.text).decode()
    if kind != "chat":
        return ""
    messages = [
        {
            "role": chat_pb2.ChatMessage.Role.Name(message.role).removeprefix("ROLE_").lower(),
            "content": message.content,
        }
        for message in request.chat.messages
    ]
    return msgspec.json.encode(messages).decode()
