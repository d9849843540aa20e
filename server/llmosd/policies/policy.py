"""What a content policy is: it reads every prompt, and every answer before anybody else does.

`rules` is one. An installed package adds another by an entry point of the group
"llmosd.policies": a function that takes the file that `content_policy_file` names, a Path or None,
and returns a Policy. It runs in the daemon, on the thread that serves: it must be quick, and not
wait.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Asker:
    """For whom a generation is, and by what."""

    tenant: str
    model: str


class Writer(Protocol):
    """Sees one answer, piece by piece."""

    def add(self, text: str) -> str:
        """Take the next piece; returns what may be shown by now, changed or not.

        What may turn out to be a part of something is kept back. Raises ContentRefused: the answer
        ends here.
        """

    def flush(self) -> str:
        """The answer is over: what may be shown of what was kept back; raises ContentRefused."""


class Policy(Protocol):
    """Decides."""

    def read(self, text: str, asker: Asker) -> str:
        """A prompt's text, or a message's, as the model gets to see it; raises ContentRefused."""

    def writer(self, asker: Asker) -> Writer | None:
        """A new answer's; None: answers are not looked at."""
