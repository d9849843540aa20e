"""The daemon as its administrator sees it: log level, and what it finds when it looks at itself."""

from dataclasses import dataclass
from enum import StrEnum


class LogLevel(StrEnum):
    """From which level on the daemon logs."""

    UNSPECIFIED = "unspecified"
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class CheckResult(StrEnum):
    """What came of a look."""

    UNSPECIFIED = "unspecified"
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class ServerCheck:
    """One thing that was looked at; `fix` is what to do, empty where nothing need be done."""

    name: str
    result: CheckResult
    message: str
    fix: str = ""
