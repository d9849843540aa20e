"""Token ids to text as they come: never half a character, never half a stop text."""

import codecs
from collections.abc import Sequence

from llmosd.text.vocabulary import Vocabulary


class Detokenizer:
    """Text of one answer, piece by piece."""

    def __init__(self, vocabulary: Vocabulary, *, keep_special: bool = False) -> None:
        """Control tokens are left away unless `keep_special`."""
        self._vocabulary = vocabulary
        self._keep_special = keep_special
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def add(self, token: int) -> str:
        """Text that `token` completes; bytes of an unfinished character wait for the next one."""
        if self._vocabulary.is_special(token) and not self._keep_special:
            return ""
        return self._decoder.decode(self._vocabulary.token_bytes(token))

    def flush(self) -> str:
        """What is left at the end: U+FFFD for an unfinished character."""
        return self._decoder.decode(b"", final=True)


class StopMatcher:
    """Finds stop texts across pieces, and holds back what may be the beginning of one."""

    def __init__(self, stops: Sequence[str]) -> None:
        """The stop text that is complete first ends the answer, however the text was cut."""
        self._stops = list(stops)
        self._held = ""

    def add(self, text: str) -> tuple[str, str | None]:
        """Text that is safe to show, and the stop text that matched, if one did."""
        if not self._stops:
            return text, None
        self._held += text
        found = [(at, stop) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            at, stop = min(found, key=lambda match: (match[0] + len(match[1]), match[0]))
            shown, self._held = self._held[:at], ""
            return shown, stop
        keep = self._open_suffix()
        shown = self._held[: len(self._held) - keep]
        self._held = self._held[len(shown) :]
        return shown, None

    def flush(self) -> str:
        """What was held back, once nothing can complete it."""
        rest, self._held = self._held, ""
        return rest

    def _open_suffix(self) -> int:
        """Length of the longest suffix of the held text that begins a stop text."""
        longest = max(len(stop) for stop in self._stops) - 1
        for size in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-size:]) for stop in self._stops):
                return size
        return 0
