"""A worker for tests: counts to `steps`, one event each, as a real one would; no torch."""

import contextlib
import os
import sys
import time
from pathlib import Path

import msgspec

from llmosd.errors import OperationCancelled
from llmosd.jobs.context import JobContext, JobInterrupted
from llmosd.store.run_directory import EventWriter, RunDirectory
from llmosd.store.run_events import CheckpointEvent, JobEnd, MetricEvent, PhaseEvent


def count(job, context):
    done = [e.step for e in context.history if isinstance(e, MetricEvent)]
    for step in range(len(done) + 1, job["steps"] + 1):
        context.check_cancelled()
        context.give_way()
        if job.get("die_at") == step and not (context.folder / "died").exists():
            if not job.get("always"):
                (context.folder / "died").touch()
            os._exit(9)
        context.emit(MetricEvent(step, "training", {"loss": 1.0 / step}))
        if step % 5 == 0:
            context.emit(CheckpointEvent(step), durable=True)
        time.sleep(job.get("seconds", 0.0))
    return {"counted": job["steps"]}


def main(folder, lock, after):
    os.set_inheritable(int(lock), False)
    run = RunDirectory(Path(folder))
    run.record_worker(int(lock), os.getpid())
    with contextlib.closing(EventWriter(run, int(after))) as writer:
        context = JobContext(run, writer)
        context.listen()
        context.emit(PhaseEvent("RUNNING"))
        try:
            result = count(msgspec.json.decode(run.order().job), context)
            context.emit(JobEnd("succeeded", result=msgspec.Raw(msgspec.json.encode(result))))
        except JobInterrupted as stop:
            context.emit(PhaseEvent("PAUSED" if stop.wish == "pause" else "QUEUED"))
        except OperationCancelled:
            context.emit(JobEnd("cancelled"))


main(*sys.argv[1:])
