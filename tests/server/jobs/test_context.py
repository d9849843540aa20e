"""What a job says of how far it is."""

from types import SimpleNamespace

from llmosd.jobs import context as module
from llmosd.jobs.context import JobContext
from llmosd.store.run_events import ProgressEvent


def test_progress_is_said_twice_a_second_at_most_and_never_twice(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    said = []
    run = SimpleNamespace(path=tmp_path, control=lambda: SimpleNamespace(saves=0))
    writer = SimpleNamespace(write=lambda event, durable: said.append(event), lines=[])
    context = JobContext(run, writer)
    for seconds, stage, completed in [
        (0, "train", 1),
        (0.1, "train", 2),  # too soon
        (5, "train", 3),
        (5, "train", 3),  # nothing new, as whoever waits for another job reports all the time
        (5, "train", 3),
        (0, "publish", 0),  # a new stage at once
        (0.1, "publish", 9),  # and an end
    ]:
        clock[0] += seconds
        context.report(stage, completed, 9)
    assert said == [
        ProgressEvent("train", 1, 9),
        ProgressEvent("train", 3, 9),
        ProgressEvent("publish", 0, 9),
        ProgressEvent("publish", 9, 9),
    ]
