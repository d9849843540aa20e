"""Pages of a List method (AIP-158): opaque tokens, sizes clamped."""

import base64
import binascii

from llmosd.errors import InvalidField

_DEFAULT_SIZE, _MOST = 50, 1000
_MOST_DIGITS = 18


def size(requested: int) -> int:
    """How many items to return; 0 takes the default, too many the maximum."""
    if requested < 0:
        raise InvalidField.of("page_size", "must not be negative")
    return min(requested or _DEFAULT_SIZE, _MOST)


def token(*position: str | int) -> str:
    """The token of the page after the item at `position`."""
    text = "\n".join(map(str, position))
    return base64.urlsafe_b64encode(text.encode()).decode()


def position(page_token: str, parts: int) -> list[str] | None:
    """What `token` was given; None for the first page. Raises InvalidField."""
    if not page_token:
        return None
    try:
        found = base64.urlsafe_b64decode(page_token.encode()).decode().split("\n")
    except (binascii.Error, UnicodeError, ValueError):
        found = []
    if len(found) != parts:
        raise _foreign()
    return found


def number(text: str) -> int:
    """A part of a position that is a number. Raises InvalidField."""
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise _foreign()
    return int(text)


def _foreign() -> InvalidField:
    return InvalidField.of("page_token", "is not one this method returned; start without one")
