"""What a row of each kind holds: checked when it comes in, known by every step after."""

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from llmosd.store.datasets import DatasetKind

Row = dict[str, Any]

ROLES = ("system", "user", "assistant", "tool")

_TEXTS: dict[DatasetKind, tuple[str, ...]] = {
    "text": ("text",),
    "chat": (),
    "pairs": ("prompt", "completion"),
    "labelled": ("text",),
    "graded": ("text",),
    "preference": ("prompt", "chosen", "rejected"),
    "rated": ("prompt", "completion"),
    "choices": ("prompt",),
    "checks": ("prompt",),
}
_OTHERS: dict[DatasetKind, str] = {
    "chat": "messages",
    "labelled": "label",
    "graded": "score",
    "rated": "desirable",
    "choices": "choices",
}
# What a user types, as opposed to what a model shall learn to say.
_INPUTS: dict[DatasetKind, tuple[str, ...]] = {
    "text": ("text",),
    "chat": (),
    "pairs": ("prompt",),
    "labelled": ("text",),
    "graded": ("text",),
    "preference": ("prompt",),
    "rated": ("prompt",),
    "choices": ("prompt",),
    "checks": ("prompt",),
}
_MOST_CHOICES = 64
_MOST_PATTERNS = 64
_LONGEST_PATTERN = 500


class BadRow(Exception):
    """What is wrong with a row, as a sentence without its place."""


def checked(kind: DatasetKind, row: object) -> Row:
    """The row if it is one of the kind, its label as a string and its score as a float.

    Raises BadRow.
    """
    names = fields(kind)
    if not isinstance(row, dict):
        raise BadRow(f"a row must be an object with {_listed(names)}")
    optional = _OPTIONAL.get(kind, {})
    for name in row:
        if name not in names and name not in optional:
            known = _listed((*names, *optional))
            raise BadRow(f"unknown field {quoted(name)}; rows of kind {kind} have {known}")
    for name in names:
        if name not in row:
            raise BadRow(f"field {quoted(name)} is missing")
    for name in _TEXTS[kind]:
        _check_text(name, row[name])
    if kind in _OTHERS:
        name = _OTHERS[kind]
        row[name] = _CHECKS[kind](row[name])
    _check_optional(kind, row)
    return row


def fields(kind: DatasetKind) -> tuple[str, ...]:
    """Names of the fields that every row of the kind has."""
    return (*_TEXTS[kind], *((_OTHERS[kind],) if kind in _OTHERS else ()))


def texts(kind: DatasetKind, row: Row) -> Iterator[str]:
    """The texts of a row, in order."""
    if kind == "chat":
        for message in row["messages"]:
            yield message["content"]
    else:
        for name in _TEXTS[kind]:
            yield row[name]


def target(kind: DatasetKind, row: Row) -> object:
    """The label, score or judgement of a row; None where it has none."""
    return row[_OTHERS[kind]] if kind in {"labelled", "graded", "rated"} else None


def with_texts(
    kind: DatasetKind, row: Row, change: Callable[[str], str], *, inputs_only: bool = False
) -> Row:
    """A copy of the row, its texts changed; with `inputs_only`, only what a user types."""
    if kind == "chat":
        messages = [
            {**message, "content": change(message["content"])}
            if not inputs_only or message["role"] == "user"
            else message
            for message in row["messages"]
        ]
        return {"messages": messages}
    names = _INPUTS[kind] if inputs_only else _TEXTS[kind]
    return {**row, **{name: change(row[name]) for name in names}}


def _check_optional(kind: DatasetKind, row: Row) -> None:
    for name, check in _OPTIONAL.get(kind, {}).items():
        if name in row:
            row[name] = check(name, row[name])
    if kind == "choices" and row.get("answer", 0) >= len(row["choices"]):
        raise BadRow("answer must be the position of a choice; the first one is 0")


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise BadRow(f"{name} must be a string")
    if not value.strip():
        raise BadRow(f"{name} is empty")
    if "\0" in value:
        raise BadRow(f"{name} holds a NUL character")


def _messages(value: object) -> list[dict[str, str]]:
    if not isinstance(value, list) or not value:
        raise BadRow("messages must be a list of at least one message")
    for at, message in enumerate(value):
        where = f"messages[{at}]"
        if not isinstance(message, dict):
            raise BadRow(f'{where} must be an object with "role" and "content"')
        for name in message:
            if name not in {"role", "content"}:
                raise BadRow(f'{where}: unknown field {quoted(name)}; it has "role" and "content"')
        for name in ("role", "content"):
            if name not in message:
                raise BadRow(f"{where}: field {quoted(name)} is missing")
        if message["role"] not in ROLES:
            raise BadRow(f"{where}.role must be one of {', '.join(ROLES)}")
        _check_text(f"{where}.content", message["content"])
    if all(message["role"] != "assistant" for message in value):
        raise BadRow("messages have no turn of the assistant, so there is nothing to learn")
    return value


def _label(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadRow("label must be a string or a whole number")
    text = str(value)
    _check_text("label", text)
    return text


def _score(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRow("score must be a number")
    try:
        score = float(value)
    except OverflowError:
        score = math.inf
    if not math.isfinite(score):
        raise BadRow("score must be a finite number")
    return score


def _desirable(value: object) -> bool:
    if not isinstance(value, bool):
        raise BadRow("desirable must be true or false")
    return value


def _choices(value: object) -> list[str]:
    if not isinstance(value, list) or not 2 <= len(value) <= _MOST_CHOICES:
        raise BadRow(f"choices must be a list of 2 to {_MOST_CHOICES} texts")
    for at, each in enumerate(value):
        _check_text(f"choices[{at}]", each)
    if len(set(value)) < len(value):
        raise BadRow("choices must differ from each other")
    return value


def _position(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadRow(f"{name} must be a whole number from 0")
    return value


def _text(name: str, value: object) -> str:
    _check_text(name, value)
    assert isinstance(value, str)
    return value


def _patterns(name: str, value: object) -> list[str]:
    if not isinstance(value, list) or len(value) > _MOST_PATTERNS:
        raise BadRow(f"{name} must be a list of at most {_MOST_PATTERNS} regular expressions")
    for at, each in enumerate(value):
        _check_text(f"{name}[{at}]", each)
        if len(each) > _LONGEST_PATTERN:
            raise BadRow(f"{name}[{at}] is longer than {_LONGEST_PATTERN} characters")
        try:
            re.compile(each)
        except (re.error, OverflowError, RecursionError) as error:
            raise BadRow(f"{name}[{at}] is no regular expression: {error}") from None
    return value


_OPTIONAL: dict[DatasetKind, dict[str, Callable[[str, object], object]]] = {
    "choices": {"answer": _position, "set": _text, "group": _text},
    "checks": {"system": _text, "must": _patterns, "must_not": _patterns},
}
_CHECKS: dict[DatasetKind, Callable[[object], object]] = {
    "chat": _messages,
    "labelled": _label,
    "graded": _score,
    "rated": _desirable,
    "choices": _choices,
}


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(map(quoted, names))


def quoted(name: str) -> str:
    """A stranger's name, fit to be shown."""
    shown = "".join(char if char.isprintable() else "?" for char in name[:48])
    return f'"{shown}"'
