"""The process of one durable job: `python -m llmosd.jobs.durable_worker FOLDER LOCK AFTER`.

FOLDER is the run directory, LOCK the descriptor of its lock, held as long as this process lives,
AFTER the last event number that anybody saw. It needs no daemon: it reads its order, goes on from
what earlier runs left, and writes the outcome as its last event. Without one it is started again.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from llmosd.errors import LlmosError, OperationCancelled
from llmosd.ipc import Failure
from llmosd.jobs.context import JobContext, JobInterrupted
from llmosd.jobs.faults import as_ours
from llmosd.jobs.specs import TrainSpec
from llmosd.store.run_directory import EventWriter, RunDirectory
from llmosd.store.run_events import JobEnd, JobEvent, PhaseEvent

# Behind what answers somebody, whatever it is.
_NICE = 10
_STOPPED = "the daemon stopped"

Job = Callable[[Any, JobContext], Any]
"""A job: its spec and its context in, the result out, as what msgspec can write as JSON."""

# Imported when it is needed: a job's libraries take seconds.
_JOBS: dict[type[TrainSpec], str] = {TrainSpec: "llmosd.jobs.train"}

_log = logging.getLogger(__name__)


def main(folder: str, lock: str, after: str) -> int:
    """Run the job; 0 when its end, or its pause, is written down."""
    os.set_inheritable(int(lock), False)
    os.nice(_NICE)
    run = RunDirectory(Path(folder))
    with contextlib.closing(EventWriter(run, int(after))) as writer:
        if writer.ended is not None:
            return 0
        context = JobContext(run, writer)
        context.listen()
        context.emit(PhaseEvent("RUNNING"))
        context.emit(_outcome(run, context), durable=True)
    return 0


def _outcome(run: RunDirectory, context: JobContext) -> JobEvent:
    try:
        spec = msgspec.json.decode(run.order().job, type=TrainSpec)
        job: Job = import_module(_JOBS[type(spec)]).run
        return JobEnd("succeeded", result=msgspec.Raw(msgspec.json.encode(job(spec, context))))
    except JobInterrupted as interruption:
        if interruption.wish == "pause":
            return PhaseEvent("PAUSED")
        return PhaseEvent("QUEUED", _STOPPED)
    except OperationCancelled:
        return JobEnd("cancelled")
    except BaseException as error:  # noqa: BLE001 - each kind of end is written down
        ours = as_ours(error)
        if not isinstance(ours, LlmosError):
            _log.error("the job failed", exc_info=error)
        return JobEnd("failed", failure=Failure.of(ours))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
