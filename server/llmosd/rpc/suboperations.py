"""Jobs inside that start other operations, and wait for them; see inside_jobs.

The others have request ids that follow from the job's own: after a restart it finds them again.
"""

from collections.abc import Callable

import msgspec
from google.protobuf import any_pb2

from llmosd.errors import OperationCancelled
from llmosd.ipc import Failure
from llmosd.jobs.context import JobContext
from llmosd.jobs.messages import JobProgress
from llmosd.operations.manager import OperationManager

_LOOK_SECONDS = 0.25


async def finished(
    operations: OperationManager, name: str, context: JobContext, stage: str
) -> any_pb2.Any:
    """The response of operations/ID when it ends.

    Raises:
        What it ended in; OperationCancelled, with which it is cancelled too; JobInterrupted.
    """
    identifier = name.removeprefix("operations/")
    while True:
        record = await operations.wait(identifier, _LOOK_SECONDS)
        if record.end_time is not None:
            break
        try:
            context.check_cancelled()
        except OperationCancelled:
            operations.cancel(identifier)
            raise
        progress = operations.standing(identifier).progress
        if progress is not None:
            stage_now = f"{stage}: {progress.stage}"
            context.report(stage_now, progress.completed, progress.total, progress.unit)
    if record.state != "SUCCEEDED":
        failure = msgspec.msgpack.decode(record.result or b"", type=Failure)
        raise failure.error()
    return any_pb2.Any.FromString(record.result or b"")


async def ended(operations: OperationManager, name: str) -> any_pb2.Any:
    """The response of operations/ID, however long it takes; raises what it ended in."""
    identifier = name.removeprefix("operations/")
    record = await operations.wait(identifier, _LOOK_SECONDS)
    while record.end_time is None:
        record = await operations.wait(identifier, _LOOK_SECONDS)
    if record.state != "SUCCEEDED":
        raise msgspec.msgpack.decode(record.result or b"", type=Failure).error()
    return any_pb2.Any.FromString(record.result or b"")


def told(context: JobContext) -> Callable[[JobProgress], None]:
    """Report a process's progress as the job's own, and end it when the job is to end."""

    def report(at: JobProgress) -> None:
        context.check_cancelled()
        context.report(at.stage, at.completed, at.total, at.unit)

    return report
