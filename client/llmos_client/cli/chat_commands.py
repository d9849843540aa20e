"""The slash commands of `llmos chat`."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from llmos_client.cli.chat_session import ChatSession
from llmos_client.cli.sampling import read_parameter

HELP = """\
/help               this
/clear              forget the conversation
/system TEXT        set the system message; without TEXT: remove it
/set NAME VALUE     set a sampling parameter, as: /set temperature 0.7; without: show them
/regenerate         answer the last turn once more
/save FILE          write the conversation to a JSON file
/exit               leave; so does Ctrl-D
Alt-Enter, a backslash at the end of a line, or three double quotes carry on a message.
Ctrl-C ends an answer."""


class LeaveChat(Exception):
    """The person is done."""


class ChatCommands:
    """Carries out slash commands; `say` shows a line that is no answer."""

    def __init__(self, session: ChatSession, say: Callable[[str], None]) -> None:
        self._session = session
        self._say = say
        self._commands: dict[str, Callable[[str], Iterator[str] | None]] = {
            "/help": self._help,
            "/?": self._help,
            "/clear": self._clear,
            "/system": self._system,
            "/set": self._set,
            "/regenerate": self._regenerate,
            "/save": self._save,
            "/exit": self._exit,
            "/bye": self._exit,
        }

    def run(self, line: str) -> Iterator[str] | None:
        """Carry out a command; return the answer's text where there is one."""
        name, _, argument = line.strip().partition(" ")
        command = self._commands.get(name)
        if command is None:
            self._say(f"no command {name}; see /help")
            return None
        try:
            return command(argument.strip())
        except (ValueError, OSError) as error:
            self._say(f"{name}: {error}")
            return None

    def _help(self, _: str) -> None:
        self._say(HELP)

    def _clear(self, _: str) -> None:
        self._session.clear()
        self._say("conversation cleared")

    def _system(self, text: str) -> None:
        self._session.system = text or None
        self._session.begin_anew()
        self._say("system message set" if text else "system message removed")

    def _set(self, argument: str) -> None:
        name, _, value = argument.partition(" ")
        if not name:
            options = self._session.options
            self._say("\n".join(f"{k} {v}" for k, v in options.items()) or "all as by default")
            return
        if not value:
            raise ValueError("give a name and a value")
        self._session.options[name.replace("-", "_")] = read_parameter(name, value.strip())
        self._session.begin_anew()
        self._say(f"{name} is {value.strip()}")

    def _regenerate(self, _: str) -> Iterator[str]:
        return self._session.regenerate()

    def _save(self, path: str) -> None:
        if not path:
            raise ValueError("give a file")
        head = [{"role": "system", "content": self._session.system}] if self._session.system else []
        text = json.dumps({"messages": [*head, *self._session.turns]}, indent=2, ensure_ascii=False)
        Path(path).expanduser().write_text(text + "\n", encoding="utf-8")
        self._say(f"saved {len(self._session.turns)} turns to {path}")

    def _exit(self, _: str) -> None:
        raise LeaveChat
