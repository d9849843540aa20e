"""The process of one job: reads its spec from the front, runs the job, reports, ends.

Single use. What it parses may be hostile, so it has no input but the socket, bounded memory, and
bounded time where work should be bounded; the front may kill it at any moment and lose nothing.
"""

import logging
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from llmosd.errors import InvalidModelFile, LlmosError, OperationCancelled
from llmosd.ipc import Channel, ChannelClosed, Failure, die_with_parent
from llmosd.jobs.data.ingest import ingest
from llmosd.jobs.data.preprocess import preprocess
from llmosd.jobs.data.specs import PreprocessSpec
from llmosd.jobs.evaluating.compare import compare
from llmosd.jobs.evaluating.measure import measure
from llmosd.jobs.evaluating.prepare import prepare
from llmosd.jobs.evaluating.specs import CompareSpec, MeasureSpec, PrepareSpec
from llmosd.jobs.exporting.export import export_model
from llmosd.jobs.faults import as_ours
from llmosd.jobs.feedback.export import export
from llmosd.jobs.feedback.ratings import rate
from llmosd.jobs.feedback.specs import FeedbackSpec, RateSpec
from llmosd.jobs.importing.convert import STAGE_READ, import_model
from llmosd.jobs.messages import (
    CancelJob,
    ExplainResult,
    ExplainSpec,
    ExportSpec,
    ImportSpec,
    IngestSpec,
    JobDone,
    JobProgress,
    JobSpec,
    ToJob,
)
from llmosd.jobs.optimizing.specs import OptimizeSpec
from llmosd.progress import Progress


def _optimize(spec: OptimizeSpec, progress: Progress) -> Any:
    # torch takes a second to import, which no other job here needs.
    from llmosd.jobs.optimizing.optimize import optimize  # noqa: PLC0415

    return optimize(spec, progress)


def _explain(spec: ExplainSpec, progress: Progress) -> ExplainResult:
    """See jobs.explain, whose networks no other job waits to be imported."""
    from llmosd.jobs.explain import explain  # noqa: PLC0415

    return explain(spec, progress)


_JOBS: dict[type, Callable[[Any, Progress], Any]] = {
    ImportSpec: import_model,
    ExportSpec: export_model,
    IngestSpec: ingest,
    PreprocessSpec: preprocess,
    PrepareSpec: prepare,
    MeasureSpec: measure,
    CompareSpec: compare,
    OptimizeSpec: _optimize,
    FeedbackSpec: export,
    RateSpec: rate,
    ExplainSpec: _explain,
}

_STAGE_SECONDS = {STAGE_READ: 60.0}
"""Stages whose work is bounded, whatever the model: longer is an attack or a bug."""

_REPORT_INTERVAL = 0.1
_GRACE = 5.0

_log = logging.getLogger(__name__)


def run(fd: int) -> int:
    """Run the job that arrives on socket `fd`; returns the exit code.

    0: JobDone was sent. 1: a Failure was sent. 2: the front went away.
    """
    _seal()
    die_with_parent()
    channel = Channel(socket.socket(fileno=fd), ToJob)
    try:
        job = channel.receive()
        if not isinstance(job, JobSpec):
            return 2
        _limit_memory(job.data_bytes)
        return _run_job(job, channel)
    except ChannelClosed:
        return 2


class ChannelProgress:
    """Progress that goes to the front, at most ten times a second, and hears CancelJob."""

    def __init__(self, channel: Channel, *, stage_seconds: dict[str, float] | None = None) -> None:
        self._channel = channel
        self._cancelled = threading.Event()
        self._limits = _STAGE_SECONDS if stage_seconds is None else stage_seconds
        self._stage = ""
        self._sent_at = 0.0
        self._timer: threading.Timer | None = None
        threading.Thread(target=self._listen, daemon=True).start()

    def report(self, stage: str, completed: int = 0, total: int = 0, unit: str = "") -> None:
        """Send, unless the last report of this stage was a moment ago."""
        now = time.monotonic()
        ends = total > 0 and completed >= total
        if stage == self._stage and not ends and now - self._sent_at < _REPORT_INTERVAL:
            return
        if stage != self._stage:
            self._stage = stage
            self._watch(self._limits.get(stage))
        self._sent_at = now
        self._channel.send(JobProgress(stage, completed, total, unit))

    def check_cancelled(self) -> None:
        """Raise OperationCancelled after CancelJob, or when the front is gone."""
        if self._cancelled.is_set():
            raise OperationCancelled("the operation was cancelled")

    def close(self) -> None:
        """Stop watching the time."""
        self._watch(None)

    def _listen(self) -> None:
        try:
            while not isinstance(self._channel.receive(), CancelJob):
                pass
        except ChannelClosed:
            pass
        finally:
            self._cancelled.set()

    def _watch(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # The alarm kills even where a library holds the interpreter's lock; it says nothing.
        signal.setitimer(signal.ITIMER_REAL, 0 if seconds is None else seconds + _GRACE)
        if seconds is not None:
            self._timer = threading.Timer(seconds, self._give_up, [self._stage, seconds])
            self._timer.daemon = True
            self._timer.start()

    def _give_up(self, stage: str, seconds: float) -> None:
        error = InvalidModelFile(f'stage "{stage}" took longer than {seconds:g} seconds')
        try:
            self._channel.send(Failure.of(error))
        finally:
            os._exit(1)


def _run_job(job: JobSpec, channel: Channel) -> int:
    progress = ChannelProgress(channel)
    try:
        result = _JOBS[type(job.spec)](job.spec, progress)
    except ChannelClosed:
        raise
    except BaseException as error:  # noqa: BLE001 - each kind of end is reported
        ours = as_ours(error)
        if not isinstance(ours, LlmosError):
            _log.error("the job failed", exc_info=error)
        channel.send(Failure.of(ours))
        return 1
    finally:
        progress.close()
    channel.send(JobDone(result))
    return 0


def _seal() -> None:
    """Close standard input, dump no core, and let an alarm kill."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    # The front decides when a job ends; a Ctrl-C in its terminal is for the front alone.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _limit_memory(data_bytes: int) -> None:
    if data_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (data_bytes, data_bytes))
