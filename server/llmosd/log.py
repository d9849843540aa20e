"""Structured logs: one JSON object a line on stdout, or readable lines on a terminal."""

import logging
import sys
from typing import Any

import structlog

# Without local variables: they hold what people asked, and what was answered.
_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "exception": logging.ERROR,
    "critical": logging.CRITICAL,
}


class _Threshold:
    """Drops what is below the level that holds now; loggers are made once, and keep their class."""

    level = logging.INFO

    def __call__(
        self, _logger: Any, method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        if _LEVELS[method] < self.level:
            raise structlog.DropEvent
        return event


_threshold = _Threshold()


def set_level(level: str) -> None:
    """Log from this level on: "debug", "info", "warning" or "error"."""
    _threshold.level = getattr(logging, level.upper())


def configure_logging(level: str) -> None:
    """Set up structlog for the process; call once, first."""
    set_level(level)
    terminal = sys.stdout.isatty()
    processors: list[structlog.typing.Processor] = [
        _threshold,
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _TRACEBACKS,
    ]
    if terminal:
        processors.append(structlog.dev.ConsoleRenderer())
    else:
        processors.append(structlog.processors.JSONRenderer())
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stdout),
        cache_logger_on_first_use=True,
    )
