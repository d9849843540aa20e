"""Where chat reads its lines: a terminal with history and editing, or a pipe."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from llmos_client.cli.chat_input import MessageReader

if TYPE_CHECKING:
    from prompt_toolkit.key_binding import KeyBindings


class Lines(Protocol):
    """Messages of a person, one by one."""

    def __iter__(self) -> Iterator[str]:
        """Iterate until the person is done."""


class PipedLines:
    """Messages from a file or a pipe."""

    def __iter__(self) -> Iterator[str]:
        reader = MessageReader()
        for line in sys.stdin:
            message = reader.feed(line.rstrip("\n"))
            if message is not None:
                yield message
        rest = reader.rest()
        if rest is not None:
            yield rest


class TerminalLines:
    """Messages typed at a terminal."""

    def __iter__(self) -> Iterator[str]:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.history import FileHistory

        prompt: PromptSession[str] = PromptSession(
            history=FileHistory(str(_history_file())), multiline=True, key_bindings=_bindings()
        )
        reader = MessageReader()
        while True:
            try:
                typed = prompt.prompt("... " if reader.unfinished else ">>> ")
            except KeyboardInterrupt:
                reader = MessageReader()
                continue
            except EOFError:
                return
            for line in typed.split("\n") if reader.unfinished else [typed]:
                message = reader.feed(line)
                if message is not None:
                    yield message


def _bindings() -> "KeyBindings":
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

    bindings = KeyBindings()

    @bindings.add("enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @bindings.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return bindings


def _history_file() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    folder = Path(base, "llmos")
    # What a person asked is nobody else's business.
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "chat_history"
    path.touch(mode=0o600)
    return path
