"""llmos chat: a conversation at the terminal, or line by line through a pipe."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from llmos_client.cli.options import Command, Settings, model_argument, pass_settings
from llmos_client.cli.sampling import given, sampling_options

if TYPE_CHECKING:
    from llmos_client.cli.chat_session import ChatSession


@click.command("chat", cls=Command)
@model_argument()
@click.option("--system", metavar="TEXT", help="The system message.")
@sampling_options
@click.option("-v", "--verbose", is_flag=True, help="Tell speed and finish reason on stderr.")
@pass_settings
def command(
    settings: Settings, /, model: str, system: str | None, verbose: bool, **sampling: Any
) -> None:
    """Talk with a model; /help lists what can be said besides.

    The model is loaded if it is not.
    """
    from llmos_client.cli.answering import ensure_loaded
    from llmos_client.cli.chat_session import ChatSession

    with settings.client() as client:
        version = ensure_loaded(client, model, quiet=settings.json)
        session = ChatSession(client, model, given(sampling), system)
        try:
            _Chat(settings, session, version.name, verbose=verbose).run()
        finally:
            session.close()


class _Chat:
    """The loop: read a message, answer it."""

    def __init__(
        self, settings: Settings, session: "ChatSession", version: str, *, verbose: bool
    ) -> None:
        from llmos_client.cli.chat_commands import ChatCommands
        from llmos_client.cli.output import note

        self._settings = settings
        self._session = session
        self._version = version
        self._verbose = verbose
        self._commands = ChatCommands(session, note)
        self._typed = sys.stdin.isatty()

    def run(self) -> None:
        """Go on until the person leaves."""
        from llmos_client.cli.chat_commands import LeaveChat
        from llmos_client.cli.chat_terminal import PipedLines, TerminalLines

        if self._typed:
            from llmos_client.cli.output import note

            note(f"{self._version}. /help lists the commands, Ctrl-D leaves.")
        for message in TerminalLines() if self._typed else PipedLines():
            try:
                self._turn(message)
            except LeaveChat:
                return

    def _turn(self, message: str) -> None:
        from llmos_client.cli.problems import report
        from llmos_client.errors import LlmosError

        if not message.strip():
            return
        try:
            if message.lstrip().startswith("/"):
                pieces = self._commands.run(message)
            else:
                pieces = self._session.ask(message)
            if pieces is not None:
                self._print(pieces)
        except LlmosError as error:
            # A person reads it and goes on; a script wants to know.
            if not self._typed:
                raise
            report(error, self._settings)

    def _print(self, pieces: Iterator[str]) -> None:
        from llmos_client.cli.answering import statistics
        from llmos_client.cli.output import note, print_json_line

        shown = []
        with _on_interrupt(self._session.interrupt):
            for piece in pieces:
                shown.append(piece)
                if not self._settings.json:
                    sys.stdout.write(piece)
                    sys.stdout.flush()
        session, done = self._session, self._session.completed
        if self._settings.json:
            usage = done.usage if done else None
            text = "".join(shown)
            print_json_line({"text": text, "finish_reason": session.finish, "usage": usage})
            return
        print()
        if self._verbose and done is not None:
            note(statistics(done.usage, done.timings, session.finish, self._version))


@contextmanager
def _on_interrupt(act: Callable[[], None]) -> Iterator[None]:
    """Let the first Ctrl-C act, without an exception in the middle of gRPC; the second is one."""
    before = signal.getsignal(signal.SIGINT)

    def handle(_: int, __: object) -> None:
        signal.signal(signal.SIGINT, before)
        act()

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
