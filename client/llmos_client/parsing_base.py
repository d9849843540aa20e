"""What every parsing module needs: enums and moments."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

E = TypeVar("E", bound=StrEnum)


def enum(kind: type[E], proto_enum: Any, prefix: str, value: int) -> E:
    """Translate an enum's number; one from a newer daemon becomes the first member."""
    names = {number: name for name, number in proto_enum.items()}
    short = names.get(value, "").removeprefix(prefix).lower()
    return kind(short) if short in {member.value for member in kind} else next(iter(kind))


def moment(proto: Any, field: str) -> datetime | None:
    """Read a moment, if it is set."""
    if not proto.HasField(field):
        return None
    found: datetime = getattr(proto, field).ToDatetime(tzinfo=UTC)
    return found
