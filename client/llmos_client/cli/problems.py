"""What went wrong, as one sentence with the next command to try, and as an exit code."""

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from llmos_client.cli.options import Settings
from llmos_client.cli.output import error_fields
from llmos_client.cli.unreachable import describe_unreachable
from llmos_client.errors import (
    DaemonUnreachable,
    InvalidAddressError,
    InvalidContextError,
    InvalidCredentialsError,
    LlmosError,
    NotAuthorizedError,
)

if TYPE_CHECKING:
    import click

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 69
EXIT_TRY_LATER = 75
EXIT_NOT_AUTHORIZED = 77
EXIT_BAD_CONFIGURATION = 78

_TRY_LATER = {
    "QUEUE_FULL",
    "ENGINE_LOST",
    "SERVER_DRAINING",
    "OPERATION_IN_PROGRESS",
    "GENERATION_IN_PROGRESS",
}


def report(error: LlmosError | OSError, settings: Settings) -> int:
    """Tell what went wrong on stderr; return the exit code."""
    if isinstance(error, OSError):
        error = LlmosError(_os_sentence(error), code="FAILED")
    code = exit_code(error, settings)
    if settings.json:
        fields = {**error_fields(error), "exit_code": code}
        print(json.dumps({"error": fields}, ensure_ascii=False), file=sys.stderr)
    else:
        print(describe(error, settings), file=sys.stderr)
    return code


def report_usage(error: "click.ClickException", settings: Settings) -> int:
    """Tell what was wrong with the command line itself; return the exit code."""
    import click

    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
    elif settings.json:
        fields = {"code": "USAGE", "message": error.format_message(), "exit_code": error.exit_code}
        print(json.dumps({"error": fields}, ensure_ascii=False), file=sys.stderr)
    else:
        if isinstance(error, click.UsageError) and error.ctx is not None:
            print(error.ctx.get_usage(), file=sys.stderr)
        print(f"error: {error.format_message()}", file=sys.stderr)
    return error.exit_code


def exit_code(error: LlmosError, settings: Settings) -> int:
    """Choose among the codes of sysexits.h that scripts can tell apart."""
    if isinstance(error, DaemonUnreachable):
        return EXIT_UNREACHABLE
    if isinstance(error, InvalidCredentialsError):
        return EXIT_NOT_AUTHORIZED
    if isinstance(error, InvalidAddressError | InvalidContextError):
        named = settings.context if isinstance(error, InvalidContextError) else settings.address
        return EXIT_USAGE if named else EXIT_BAD_CONFIGURATION
    if isinstance(error, NotAuthorizedError) or error.code == "PERMISSION_DENIED":
        return EXIT_NOT_AUTHORIZED
    if error.reason in _TRY_LATER or error.retry_after is not None:
        return EXIT_TRY_LATER
    return EXIT_FAILED


def describe(error: LlmosError, settings: Settings) -> str:
    """Write the message, its code, the next thing to try, and the request's id."""
    if isinstance(error, DaemonUnreachable):
        return describe_unreachable(error, settings)
    lines = [f"error: {error.message.rstrip('.')} ({error.label}).{_context(settings)}"]
    hint = _HINTS.get(error.reason, _no_hint)(error, settings)
    if hint:
        lines[0] += f" {hint}"
    if error.request_id:
        lines[0] += f" [request {error.request_id[:8]}…]"
    lines += [
        f"  {violation.field}: {violation.description}"
        for violation in error.violations
        if violation.description not in error.message
    ]
    return "\n".join(lines)


def _context(settings: Settings) -> str:
    """The context that the daemon was called in, if it was in one."""
    from llmos_client.cli.placing import chosen

    try:
        found = chosen(settings)
    except LlmosError:  # that is the error itself
        return ""
    return f" [context {found[0]}]" if found else ""


def _model_not_found(_: LlmosError, settings: Settings) -> str:
    from llmos_client.fetch.catalogue import load_catalogue

    name = settings.model.removeprefix("models/").partition("/")[0].partition("@")[0]
    catalogue = load_catalogue()
    if name in catalogue:
        return f"Try: llmos pull {name}."
    close = _closest(name, [*_installed(settings), *catalogue])
    guess = f' Did you mean "{close}"?' if close else ""
    return f"Try: llmos list, or llmos pull {name or 'NAME'}.{guess}"


def _closest(name: str, known: list[str]) -> str | None:
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, known, n=1)), None)


def _installed(settings: Settings) -> list[str]:
    try:
        with settings.client(timeout=0.5) as client:
            return [model.id for model in client.list_models()]
    except LlmosError:
        return []


def _in_use(error: LlmosError, settings: Settings) -> str:
    adapters = error.metadata.get("adapters", "").split()
    if adapters:
        return f"Try: {' && '.join(f'llmos unload {name}' for name in adapters)}."
    return f"Try: llmos unload {settings.model}, or --force."


def _later(error: LlmosError, _: Settings) -> str:
    if error.retry_after is None:
        return "Try again in a moment."
    return f"Try again in {error.retry_after:g} s."


def _memory(error: LlmosError, _: Settings) -> str:
    return f"Try: llmos ps, then llmos unload a model that is not needed.{_needed(error)}"


def _disk(error: LlmosError, _: Settings) -> str:
    return f"Try: llmos gc, or llmos rm a model that is not needed.{_needed(error)}"


def _needed(error: LlmosError) -> str:
    from llmos_client.cli.output import human_bytes

    needed, available = (error.metadata.get(key, "") for key in ("needed_bytes", "available_bytes"))
    if not (needed.isdigit() and available.isdigit()):
        return ""
    return f" Needed {human_bytes(int(needed))}, available {human_bytes(int(available))}."


def _with_model(template: str) -> Callable[[LlmosError, Settings], str]:
    def hint(_: LlmosError, settings: Settings) -> str:
        return template.format(model=settings.model or "MODEL")

    return hint


def _no_hint(_: LlmosError, __: Settings) -> str:
    return ""


def _unauthenticated(_: LlmosError, settings: Settings) -> str:
    return f"Try: another token in {'--token' if settings.token else 'LLMOS_TOKEN'}."


_HINTS: dict[str, Callable[[LlmosError, Settings], str]] = {
    "UNAUTHENTICATED": _unauthenticated,
    "TOKEN_NOT_FOUND": _with_model("Try: llmos token list."),
    "MODEL_NOT_FOUND": _model_not_found,
    "MODEL_NOT_LOADED": _with_model("Try: llmos load {model}."),
    "MODEL_IN_USE": _in_use,
    "MODEL_LOAD_FAILED": _with_model("Try: llmos load {model} --estimate, and the daemon's log."),
    "CONTEXT_LENGTH_EXCEEDED": _with_model("Try: a shorter prompt, or a lower --max-tokens."),
    "CHAT_TEMPLATE_FAILED": _with_model("Try: llmos run --raw {model}."),
    "INVALID_MODEL_FILE": _with_model("Try: llmos status, which lists what can be imported."),
    "INVALID_DATASET": _with_model("Mend the rows, then add the file again."),
    "DATASET_IN_USE": _later,
    "ALIAS_CONFLICT": _with_model("Try: llmos alias list {model}."),
    "INSUFFICIENT_MEMORY": _memory,
    "INSUFFICIENT_DISK": _disk,
    "QUEUE_FULL": _later,
    "DEADLINE_UNATTAINABLE": _with_model("Try: a longer --timeout, or llmos top."),
    "ENGINE_LOST": _later,
    "SERVER_DRAINING": _later,
    "OPERATION_IN_PROGRESS": _later,
    "INTERNAL": _with_model("The daemon's log has it: journalctl -u llmosd."),
}


def _os_sentence(error: OSError) -> str:
    name = f"{error.filename}: " if error.filename else ""
    return f"{name}{error.strerror or error}"
