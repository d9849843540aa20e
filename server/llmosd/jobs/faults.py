"""What an exception of a job means to whoever asked for it."""

import errno

from llmosd.errors import InsufficientDisk, InsufficientMemory, InvalidModelFile


def as_ours(error: BaseException) -> BaseException:
    """The error of ours that says what happened; `error` itself where none does."""
    if isinstance(error, MemoryError):
        return InsufficientMemory("the job ran out of the memory it may use")
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return InsufficientDisk("the disk of the state directory is full")
    if isinstance(error, RecursionError):
        return InvalidModelFile("the file is nested too deeply")
    return error
