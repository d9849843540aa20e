"""Answers on stdout: JSON for programs, aligned columns for people."""

import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

from llmos_client.errors import LlmosError

_BYTES_PER_STEP = 1000.0


def print_json(value: Any) -> None:
    """Print a value as one JSON object, for a person or `jq`."""
    print(json.dumps(to_plain(value), indent=2, ensure_ascii=False))


def print_json_line(value: Any) -> None:
    """Print a value as one line of JSON, at once."""
    print(json.dumps(to_plain(value), ensure_ascii=False), flush=True)


def to_plain(value: Any) -> Any:
    """Turn results into what JSON has: bytes become numbers, times ISO 8601."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, LlmosError):
        value = error_fields(value)
    elif dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        value = {name: getattr(value, name) for name in names}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [to_plain(item) for item in value]
    return value


def error_fields(error: LlmosError) -> dict[str, Any]:
    """Everything an error says."""
    return {
        "code": error.code,
        "reason": error.reason,
        "message": error.message,
        "violations": [v._asdict() for v in error.violations],
        "metadata": error.metadata,
        "retry_after": error.retry_after,
        "request_id": error.request_id,
    }


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns aligned to the left, none wider than its widest cell."""
    print("\n".join(table_lines(headers, rows)))


def table_lines(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out columns as print_table does."""
    widths = [max(len(cell) for cell in column) for column in zip(headers, *rows, strict=True)]
    lines = []
    for row in (headers, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Print name and value, line by line, leaving out what is empty."""
    shown = [(name, value) for name, value in fields if value]
    width = max(len(name) for name, _ in shown)
    for name, value in shown:
        print(f"{name.ljust(width)}  {value}")


def note(text: str) -> None:
    """Tell a person something that is not the answer."""
    print(text, file=sys.stderr, flush=True)


def human_bytes(number: float) -> str:
    """Write a size as people do: 98.4 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < _BYTES_PER_STEP:
            return (
                f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"
            )
        number /= _BYTES_PER_STEP
    return f"{number:.1f} TB"


def human_count(number: float) -> str:
    """Write a count of parameters as people do: 135 M."""
    for unit in ("", " k", " M"):
        if number < _BYTES_PER_STEP:
            return f"{number:.0f}{unit}"
        number /= _BYTES_PER_STEP
    return f"{number:.1f} B"


def human_seconds(seconds: float) -> str:
    """Write a duration with its two largest units."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    for size, unit, small, below in ((86400, "d", 3600, "h"), (3600, "h", 60, "m")):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // small}{below}"
    return f"{whole // 60}m{whole % 60}s"


def until_now(moment: datetime | None) -> str:
    """Write how long ago it was."""
    if moment is None:
        return ""
    return human_seconds(max(0.0, (datetime.now(UTC) - moment).total_seconds()))


def until(moment: datetime | None, never: str = "never") -> str:
    """Write how long it is until then."""
    if moment is None:
        return never
    return human_seconds(max(0.0, (moment - datetime.now(UTC)).total_seconds()))
