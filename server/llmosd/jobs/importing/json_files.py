"""Reading a stranger's JSON: bounded in size and depth, each key once, every field typed."""

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from llmosd.errors import InvalidModelFile
from llmosd.jobs.importing.strangers import shown

MAX_JSON = 16 * 1024 * 1024

Object = dict[str, Any]


def load_object(path: Path, name: str, limit: int = MAX_JSON) -> Object:
    """Read a JSON object of at most `limit` bytes; raises InvalidModelFile naming the file."""
    return parse_object(read_limited(path, name, limit), name)


def read_limited(path: Path, name: str, limit: int) -> bytes:
    """Read a file of at most `limit` bytes; raises InvalidModelFile."""
    # Asking read() for the limit would allocate the limit.
    if path.stat().st_size > limit:
        raise InvalidModelFile(f"{name}: longer than {limit} bytes")
    return path.read_bytes()


def parse_object(data: bytes, name: str) -> Object:
    """Parse a JSON object; raises InvalidModelFile for anything else, doubled keys included."""
    try:
        value = json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    except RecursionError:
        raise InvalidModelFile(f"{name}: nested too deeply") from None
    except ValueError as error:
        raise InvalidModelFile(f"{name}: not valid JSON: {str(error)!a:.200}") from None
    if not isinstance(value, dict):
        raise InvalidModelFile(f"{name}: not a JSON object")
    return value


class Fields:
    """The fields of one JSON object, with their types checked. null counts as missing."""

    def __init__(self, values: Object, name: str) -> None:
        self._values = values
        self._name = name

    def has(self, key: str) -> bool:
        """Whether the field is there and not null."""
        return self._values.get(key) is not None

    def integer(self, key: str, default: int | None = None) -> int:
        """A whole number; without a default, it must be there."""
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int):
            self._fail(key, "is not a whole number")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number."""
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._fail(key, "is not a number")
        try:
            value = float(value)
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            self._fail(key, "is too large")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self._get(key, default)
        if not isinstance(value, bool):
            self._fail(key, "is neither true nor false")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        """A text."""
        value = self._get(key, default)
        if not isinstance(value, str):
            self._fail(key, "is not a text")
        return value

    def texts(self, key: str) -> list[str]:
        """A list of texts; empty where missing."""
        value = self._get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self._fail(key, "is not a list of texts")
        return list(value)

    def child(self, key: str) -> "Fields":
        """An object; empty where missing."""
        value = self._get(key, {})
        if not isinstance(value, dict):
            self._fail(key, "is not an object")
        return Fields(value, f"{self._name}: {key}")

    def raw(self, key: str) -> Any:
        """Whatever is there, or None."""
        return self._values.get(key)

    def _get(self, key: str, default: object) -> Any:
        value = self._values.get(key)
        if value is None:
            value = default
        if value is None:
            self._fail(key, "is missing")
        return value

    def _fail(self, key: str, problem: str) -> NoReturn:
        raise InvalidModelFile(f"{self._name}: {key} {problem}")


def _once(pairs: list[tuple[str, Any]]) -> Object:
    values = dict(pairs)
    if len(values) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"key {shown(key)} comes twice")
            seen.add(key)
    return values


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")
