"""The process of one durable job: `python -m llmosd.jobs.durable_worker FOLDER LOCK AFTER`.

FOLDER is the run directory, LOCK the descriptor of its lock, held as long as this process lives,
AFTER the last event number that anybody saw. It needs no daemon: it reads its order, goes on from
what earlier runs left, and writes the outcome as its last event. Without one it is started again.
"""

import contextlib
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from llmosd.jobs.context import JobContext
from llmosd.jobs.outcome import outcome_of
from llmosd.jobs.specs import TrainSpec
from llmosd.store.run_directory import EventWriter, RunDirectory
from llmosd.store.run_events import JobEnd, JobEvent, PhaseEvent

# Behind what answers somebody, whatever it is.
_NICE = 10

Job = Callable[[Any, JobContext], Any]
"""A job: its spec and its context in, the result out, as what msgspec can write as JSON."""

# Imported when it is needed: a job's libraries take seconds.
_JOBS: dict[type[TrainSpec], str] = {TrainSpec: "llmosd.jobs.train"}


def main(folder: str, lock: str, after: str) -> int:
    """Run the job; 0 when its end, or its pause, is written down."""
    os.set_inheritable(int(lock), False)
    os.nice(_NICE)
    run = RunDirectory(Path(folder))
    run.record_worker(int(lock), os.getpid())
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
    except BaseException as error:  # noqa: BLE001 - each kind of end is written down
        return outcome_of(error)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
