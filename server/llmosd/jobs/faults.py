"""What an exception of a job means to whoever asked for it."""

from llmosd.errors import InsufficientMemory, InvalidModelFile
from llmosd.full_disk import is_full, no_room


def as_ours(error: BaseException) -> BaseException:
    """The error of ours that says what happened; `error` itself where none does."""
    if isinstance(error, MemoryError):
        return InsufficientMemory("the job ran out of the memory it may use")
    if is_full(error):
        return no_room()
    if isinstance(error, RecursionError):
        return InvalidModelFile("the file is nested too deeply")
    return error
