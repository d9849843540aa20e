"""Runs a job in a process of its own, and brings its progress and result back."""

from collections.abc import Callable

from llmosd.errors import InternalError
from llmosd.ipc import ChannelClosed, Child, Failure
from llmosd.jobs.messages import (
    ImportResult,
    ImportSpec,
    JobDone,
    JobProgress,
    JobSpec,
    ToFront,
)

_JOBS = "llmosd.jobs"


class JobRunner:
    """Starts job processes and ends them; keeps the ids of those that run."""

    def __init__(self) -> None:
        self._children: set[Child] = set()

    def processes(self) -> list[int]:
        """Process ids of running jobs."""
        return [child.pid for child in self._children]

    async def run(
        self, name: str, spec: ImportSpec, report: Callable[[JobProgress], None]
    ) -> ImportResult:
        """Run a job to its end; cancelling kills its process, which loses nothing.

        Raises:
            LlmosError: what the job says went wrong; InternalError when it says nothing.
        """
        child = await Child.spawn(name, _JOBS, ToFront)
        self._children.add(child)
        try:
            child.channel.send(JobSpec(spec=spec))
            while True:
                message = await child.channel.receive()
                if isinstance(message, JobDone):
                    return message.result
                if isinstance(message, Failure):
                    raise message.error()
                report(message)
        except ChannelClosed:
            raise InternalError("the job's process ended without a word; see the log") from None
        finally:
            child.kill()
            await child.ended()
            self._children.discard(child)
