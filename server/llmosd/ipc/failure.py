"""An error as it crosses from a child process to the front."""

from typing import Self

import msgspec

from llmosd.errors import FieldViolation, InternalError, LlmosError, by_reason


class Failure(msgspec.Struct, frozen=True, tag=True):
    """A LlmosError by reason; anything else arrives as INTERNAL with a fixed text."""

    reason: str
    message: str
    metadata: dict[str, str] = {}
    violations: list[FieldViolation] = []

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """Describe `error`; what is not ours keeps its text to the child's own log."""
        if isinstance(error, LlmosError):
            return cls(error.reason, error.message, error.metadata, list(error.violations))
        return cls(InternalError.reason, "an internal error; see the daemon's log")

    def error(self) -> LlmosError:
        """The exception to raise in the front."""
        kind = by_reason().get(self.reason, InternalError)
        return kind(self.message, metadata=self.metadata, violations=self.violations)
