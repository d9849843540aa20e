"""Structured logs: one JSON object a line on stdout, or readable lines on a terminal.

Where stdout is systemd's journal, each line begins with its priority, as sd-daemon(3) has it.
"""

import atexit
import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any

import structlog
from structlog.typing import EventDict, WrappedLogger

from llmosd.log_writer import LogWriter

LEVELS = ("debug", "info", "warning", "error")
# syslog(3)'s numbers.
_PRIORITIES = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
# The journal cuts longer lines in two, and neither half is JSON.
_LONGEST_LINE = 40_000
# Without local variables: they hold what people asked, and what was answered.
_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


class _State:
    """What can change while the daemon runs."""

    level = "info"
    threshold = logging.INFO
    writer: LogWriter | None = None


def configure_logging(level: str) -> None:
    """Set up structlog for the process; call once, first."""
    set_level(level)
    terminal = sys.stdout.isatty()
    descriptor = sys.stdout.fileno()
    journal = to_journal(descriptor)
    _State.writer = LogWriter(descriptor, lambda count: _dropped_line(count, journal=journal))
    atexit.register(_State.writer.close)
    processors: list[structlog.typing.Processor] = [
        _drop_below_level,
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _TRACEBACKS,
    ]
    if terminal:
        processors += [_without_control_characters, structlog.dev.ConsoleRenderer()]
    else:
        processors.append(_JsonLine(journal=journal))
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=lambda *_: _Logger(),
        cache_logger_on_first_use=True,
    )
    # What libraries say, asyncio of tasks that failed unseen for one, becomes lines of ours.
    logging.getLogger().handlers[:] = [_Bridge(logging.WARNING)]


def set_level(level: str) -> None:
    """Log from this level on, from the next line on; raises ValueError where it is none."""
    if level not in LEVELS:
        raise ValueError(f"{level!r} is not one of {', '.join(LEVELS)}")
    _State.level, _State.threshold = level, getattr(logging, level.upper())


def current_level() -> str:
    """The level from which on lines are written."""
    return _State.level


def dropped_lines() -> int:
    """Lines that were dropped since the start, because nobody read fast enough."""
    return _State.writer.dropped if _State.writer is not None else 0


def to_journal(descriptor: int) -> bool:
    """Whether what is written there goes to systemd's journal; see systemd.exec(5)."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        state = os.fstat(descriptor)
    except OSError:
        return False
    return (device, inode) == (str(state.st_dev), str(state.st_ino))


class _Logger:
    """What structlog hands its lines to."""

    def msg(self, line: str) -> None:
        assert _State.writer is not None
        _State.writer.write(line)

    debug = info = warning = error = critical = exception = msg


class _Bridge(logging.Handler):
    """Lines of the standard library's logging as ours."""

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname.lower() if record.levelname.lower() in _PRIORITIES else "warning"
        more = {"exc_info": record.exc_info} if record.exc_info else {}
        structlog.get_logger().log(
            getattr(logging, level.upper()),
            "library",
            logger=record.name,
            message=record.getMessage(),
            **more,
        )


class _JsonLine:
    """An event as one line of ASCII, whatever is in its strings."""

    def __init__(self, *, journal: bool) -> None:
        self._journal = journal

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> str:
        line = _json(event)
        if len(line) > _LONGEST_LINE:
            few = ("event", "level", "timestamp", "request_id", "trace_id", "method")
            line = _json({name: event[name] for name in few if name in event} | {"cut": len(line)})
        return _prefix(str(event.get("level"))) + line if self._journal else line


def _json(event: Any) -> str:
    return json.dumps(event, default=repr, skipkeys=True)


def _prefix(level: str) -> str:
    return f"<{_PRIORITIES.get(level, _PRIORITIES['info'])}>"


def _drop_below_level(_: WrappedLogger, method: str, event: EventDict) -> EventDict:
    name = "error" if method == "exception" else method
    if getattr(logging, name.upper(), logging.INFO) < _State.threshold:
        raise structlog.DropEvent
    return event


def _without_control_characters(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A terminal obeys them, and who sends a request must not command who reads the log."""
    return {name: _shown(value) for name, value in event.items()}


def _shown(value: Any) -> Any:
    if not isinstance(value, str) or value.isprintable():
        return value
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in value)


def _dropped_line(count: int, *, journal: bool) -> str:
    event = {
        "event": "log_lines_dropped",
        "level": "warning",
        "timestamp": datetime.now(UTC).isoformat(),
        "count": count,
    }
    return (_prefix("warning") if journal else "") + _json(event)
