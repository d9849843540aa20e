"""Runs a job in a process of its own, and brings its progress and result back."""

from collections.abc import Callable
from typing import overload

from llmosd.errors import InternalError
from llmosd.ipc import ChannelClosed, Child, Failure
from llmosd.jobs.evaluating.specs import (
    CompareSpec,
    Differences,
    MeasureSpec,
    Prepared,
    PrepareSpec,
    Report,
)
from llmosd.jobs.feedback.specs import FeedbackRows, FeedbackSpec, RateSpec, Ratings
from llmosd.jobs.messages import (
    AnyResult,
    AnySpec,
    DatasetResult,
    ExplainResult,
    ExplainSpec,
    ExportResult,
    ExportSpec,
    ImportResult,
    ImportSpec,
    IngestSpec,
    JobDone,
    JobProgress,
    JobSpec,
    ToFront,
)
from llmosd.jobs.optimizing.specs import Optimized, OptimizeSpec
from llmosd.jobs.specs import PreprocessSpec
from llmosd.supervisor.launcher import openmp_environment

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

    @overload
    async def run(
        self, name: str, spec: ImportSpec, report: Callable[[JobProgress], None]
    ) -> ImportResult: ...

    @overload
    async def run(
        self, name: str, spec: ExportSpec, report: Callable[[JobProgress], None]
    ) -> ExportResult: ...

    @overload
    async def run(
        self, name: str, spec: ExplainSpec, report: Callable[[JobProgress], None]
    ) -> ExplainResult: ...

    @overload
    async def run(
        self, name: str, spec: IngestSpec | PreprocessSpec, report: Callable[[JobProgress], None]
    ) -> DatasetResult: ...

    @overload
    async def run(
        self, name: str, spec: PrepareSpec, report: Callable[[JobProgress], None]
    ) -> Prepared: ...

    @overload
    async def run(
        self, name: str, spec: MeasureSpec, report: Callable[[JobProgress], None]
    ) -> Report: ...

    @overload
    async def run(
        self, name: str, spec: CompareSpec, report: Callable[[JobProgress], None]
    ) -> Differences: ...

    @overload
    async def run(
        self, name: str, spec: OptimizeSpec, report: Callable[[JobProgress], None]
    ) -> Optimized: ...

    @overload
    async def run(
        self, name: str, spec: FeedbackSpec, report: Callable[[JobProgress], None]
    ) -> FeedbackRows: ...

    @overload
    async def run(
        self, name: str, spec: RateSpec, report: Callable[[JobProgress], None]
    ) -> Ratings: ...

    async def run(
        self, name: str, spec: AnySpec, report: Callable[[JobProgress], None]
    ) -> AnyResult:
        """Run a job to its end; cancelling kills its process, which loses nothing.

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
