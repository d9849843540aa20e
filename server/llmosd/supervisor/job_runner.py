"""Runs a job in a process of its own, and brings its progress and result back."""

from collections.abc import Callable
from typing import TypeVar

from llmosd.errors import InternalError
from llmosd.ipc import ChannelClosed, Child, Failure
from llmosd.jobs.messages import AnySpec, IngestSpec, JobDone, JobProgress, JobSpec, ToFront
from llmosd.supervisor.launcher import openmp_environment

R = TypeVar("R")

_JOBS = "llmosd.jobs"
# Of memory of its own: a hostile row of JSON may ask for any amount.
_DATA_BYTES: dict[type, int] = {IngestSpec: 1 << 30}


class JobRunner:
    """Starts job processes and ends them; keeps the ids of those that run."""

    def __init__(self, threads: int = 0) -> None:
        """Jobs compute with `threads` threads; 0: as many as their libraries like."""
        self._children: set[Child] = set()
        self._environment = openmp_environment(threads) if threads else {}

    def processes(self) -> list[int]:
        """Process ids of running jobs."""
        return [child.pid for child in self._children]

    async def run(
        self,
        name: str,
        spec: AnySpec,
        kind: type[R],
        report: Callable[[JobProgress], None] = lambda _: None,
    ) -> R:
        """Run a job to its end; cancelling kills its process, which loses nothing.

        `kind` is the struct that its result is.

        Raises:
            LlmosError: what the job says went wrong; InternalError when it says nothing.
        """
        child = await Child.spawn(name, _JOBS, ToFront, self._environment)
        self._children.add(child)
        try:
            child.channel.send(JobSpec(spec=spec, data_bytes=_DATA_BYTES.get(type(spec), 0)))
            while True:
                message = await child.channel.receive()
                if isinstance(message, JobDone):
                    assert isinstance(message.result, kind), "each spec has one kind of result"
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
