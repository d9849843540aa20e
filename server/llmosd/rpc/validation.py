"""The rules of the .proto files, applied to every message that comes in."""

import asyncio
from typing import Any

import protovalidate
from google.protobuf.message import Message

from llmosd.errors import FieldViolation, InvalidField, PathNotAllowed

_NAME_FIELDS = frozenset(
    {"model", "name", "model_id", "dataset_id", "parent", "version", "expected"}
)
_PATH_STARTS = ("/", "~", "./", "../", "file:")
# Larger messages are checked aside, and to their first violation only: a few megabytes of wrong
# items would hold up everybody for seconds, and be listed one by one.
_LARGE = 64 * 1024


async def check(message: Message) -> None:
    """Raise InvalidField, naming every field that breaks its rule; of a large message, the first.

    Raises:
        PathNotAllowed: a path or URL stands where a name belongs; in the same words whether or
            not anything is there.
    """
    if message.ByteSize() > _LARGE:
        found = await asyncio.to_thread(protovalidate.collect_violations, message, fail_fast=True)
    else:
        found = protovalidate.collect_violations(message)
    if found:
        raise _refusal(found)


def _refusal(found: Any) -> InvalidField | PathNotAllowed:
    violations = [_violation(each.proto) for each in found]
    for each, violation in zip(found, violations, strict=True):
        above, _, field = violation.field.rpartition(".")
        if field in _NAME_FIELDS and "tool" not in above and _is_path(each.field_value):
            return PathNotAllowed(
                f"{violation.field}: takes a name; the daemon opens no file of a caller. "
                "To bring a model in: llmos import PATH"
            )
    text = "; ".join(f"{v.field or 'message'}: {v.description}" for v in violations[:4])
    return InvalidField(text, violations=violations)


def _violation(found: Any) -> FieldViolation:
    path = ""
    # A rule of the message itself names no field: its words do.
    for element in found.field.elements if found.field is not None else ():
        path += f".{element.field_name}"
        if element.subscript is not None:
            path += f"[{element.subscript.value}]"
    return FieldViolation(path.removeprefix("."), found.message, found.rule_id)


def _is_path(value: object) -> bool:
    return isinstance(value, str) and (value.startswith(_PATH_STARTS) or "://" in value)
