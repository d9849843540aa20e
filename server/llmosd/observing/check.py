"""One thing that was looked at, and what was found."""

from typing import Literal, NamedTuple

Result = Literal["OK", "WARNING", "PROBLEM"]


class Check(NamedTuple):
    """`fix` says what to do; it is empty where nothing need be done."""

    name: str
    result: Result
    message: str
    fix: str = ""


def ok(name: str, message: str) -> Check:
    """It is as it should be."""
    return Check(name, "OK", message)


def warning(name: str, message: str, fix: str) -> Check:
    """It works, and could work better or stop working."""
    return Check(name, "WARNING", message, fix)


def problem(name: str, message: str, fix: str) -> Check:
    """It does not work."""
    return Check(name, "PROBLEM", message, fix)
