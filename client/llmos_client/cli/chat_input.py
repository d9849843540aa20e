r"""From lines to messages: a backslash or three quotes carry a message over several lines."""

_QUOTES = '"""'


class MessageReader:
    """Collects lines until they are a message."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._quoted = False

    @property
    def unfinished(self) -> bool:
        """Whether more lines are awaited."""
        return bool(self._lines) or self._quoted

    def feed(self, line: str) -> str | None:
        """Take a line; return the message that it completes."""
        if self._quoted:
            return self._feed_quoted(line)
        if not self._lines and line.lstrip().startswith(_QUOTES):
            self._quoted = True
            return self._feed_quoted(line.lstrip().removeprefix(_QUOTES), first=True)
        if line.endswith("\\"):
            self._lines.append(line[:-1])
            return None
        self._lines.append(line)
        return self._take()

    def rest(self) -> str | None:
        """Return what was begun when the input ended."""
        return self._take() if self._lines else None

    def _feed_quoted(self, line: str, *, first: bool = False) -> str | None:
        ended = line.rstrip().endswith(_QUOTES)
        text = line.rstrip().removesuffix(_QUOTES) if ended else line
        if text or not (first or ended):
            self._lines.append(text)
        return self._take() if ended else None

    def _take(self) -> str:
        text = "\n".join(self._lines)
        self._lines, self._quoted = [], False
        return text
