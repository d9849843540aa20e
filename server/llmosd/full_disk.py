"""A disk that is full, whoever found out: the system, SQLite, or safetensors in its own words."""

import errno
import sqlite3

from llmosd.errors import InsufficientDisk

_NUMBERS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_OF_SQLITE = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})


def is_full(error: BaseException) -> bool:
    """Whether it says that there is no room, of the disk, of a quota, or for a larger file."""
    if isinstance(error, OSError):
        return error.errno in _NUMBERS
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) in _OF_SQLITE
    return any(f"os error {number})" in str(error) for number in _NUMBERS)


def no_room() -> InsufficientDisk:
    """What to tell the user."""
    return InsufficientDisk(
        "the disk of the state directory is full; llmos gc --dry-run says what can go"
    )
