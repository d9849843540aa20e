"""Files that survive a power cut, and files that are what they seem.

Writing: a temporary name, fsync, rename, fsync of the folder. Reading: relative to an open folder,
no links followed, regular files with one name only, and never a wait on a pipe.
Error messages hold a file's plain name, never its folder.
"""

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from llmosd.errors import DataCorrupt, UnsafeFile

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_LINK = {errno.ELOOP, errno.EMLINK}
_NO_FILE = {errno.ENXIO, errno.EISDIR, errno.ENODEV, errno.ENOTDIR}


def write_durably(folder: Path, name: str, data: bytes) -> None:
    """Write or replace `folder`/`name`; on disk under its name, whole, when this returns."""
    temporary = folder / f".{name}.{secrets.token_hex(4)}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(folder / name)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(folder)


def copy_durably(source: Path, target: Path) -> None:
    """Copy a regular file to a new name, and its bytes to the disk; raises as `open_regular`."""
    with os.fdopen(open_regular(source.parent, source.name), "rb") as file, target.open("xb") as to:
        shutil.copyfileobj(file, to, 1 << 20)
        to.flush()
        os.fsync(to.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def open_folder(root: Path, *parts: str) -> Iterator[int]:
    """Open a folder below `root` step by step, following no link; yields its descriptor.

    `root` itself is the administrator's and may be a link. Raises UnsafeFile where a step is no
    real folder, FileNotFoundError where it is missing.
    """
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            try:
                inner = os.open(_plain(part), _FOLDER, dir_fd=fd)
            except OSError as error:
                raise _unsafe(part, error) from None
            os.close(fd)
            fd = inner
        yield fd
    finally:
        os.close(fd)


def open_regular(folder: int | Path, name: str) -> int:
    """Open `name` in `folder` (a path or an open descriptor) for reading; returns a descriptor.

    Raises UnsafeFile, at once, where it is a link, has a second name, or is a folder, a pipe, a
    socket or a device; FileNotFoundError where it is missing.
    """
    if isinstance(folder, Path):
        with open_folder(folder) as folder_fd:
            return open_regular(folder_fd, name)
    try:
        fd = os.open(_plain(name), _READ, dir_fd=folder)
    except OSError as error:
        raise _unsafe(name, error) from None
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
        return fd
    os.close(fd)
    if stat.S_ISREG(status.st_mode):
        raise UnsafeFile(f'file "{name}" has a second name (a hard link)')
    raise UnsafeFile(f'"{name}" is not a regular file')


def read_regular(folder: int | Path, name: str, limit: int) -> bytes:
    """Read a regular file of at most `limit` bytes; raises as `open_regular`, or DataCorrupt."""
    with os.fdopen(open_regular(folder, name), "rb") as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise DataCorrupt(f'file "{name}" is longer than {limit} bytes')
        return file.read()


def _plain(name: str) -> str:
    if not name or name in {".", ".."} or "/" in name or "\0" in name:
        raise UnsafeFile(f"{name[:64]!r} is not a plain file name")
    return name


def _unsafe(name: str, error: OSError) -> Exception:
    if error.errno in _LINK:
        return UnsafeFile(f'"{name}" is a symbolic link')
    if error.errno in _NO_FILE:
        # With O_DIRECTORY, a link answers ENOTDIR too.
        return UnsafeFile(f'"{name}" is not what belongs there: a link, pipe, device or folder')
    return error
