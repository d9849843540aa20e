"""What the daemon finds of its work: models, jobs, its event loop, its log."""

from collections.abc import Iterator
from datetime import timedelta

from llmosd import log
from llmosd.config import Config
from llmosd.observing.check import Check, ok, problem, warning
from llmosd.observing.loop_lag import LoopLag
from llmosd.operations.journal import Journal
from llmosd.store.records import now
from llmosd.supervisor.pool import ModelPool
from llmosd.supervisor.resident import State

# A job that computes says something every few seconds, one that copies or hashes now and then.
_MINUTE = timedelta(minutes=1)
_SILENT = 15 * _MINUTE
_LATE_SECONDS, _HANGING_SECONDS = 0.25, 1.0


def work_checks(config: Config, pool: ModelPool, journal: Journal, lag: LoopLag) -> Iterator[Check]:
    """What is wrong is told one by one, what is not in one line for all."""
    yield from _models(pool)
    yield from _jobs(journal)
    yield _loop(lag)
    yield _log(config)


def _models(pool: ModelPool) -> Iterator[Check]:
    wrong = False
    for resident in pool.residents():
        name = resident.record.name.removeprefix("models/")
        if resident.state is State.FAILED:
            wrong = True
            why = resident.failure.message if resident.failure else "it failed"
            yield problem("models", f"{name}: {why}", f"llmos show {name}, and the daemon's log")
        elif resident.state is State.RESTARTING:
            wrong = True
            found = f"{name}: its process was lost {resident.restarts} times, and is started again"
            yield warning("models", found, "the daemon's log: engine_lost, child_stderr")
    if not wrong:
        yield ok("models", f"{pool.num_loaded} loaded, none failed")


def _jobs(journal: Journal) -> Iterator[Check]:
    unfinished = journal.table.unfinished()
    stuck = 0
    for record in unfinished:
        if record.phase != "RUNNING":
            continue
        events = journal.table.last_events(record.operation_id, 1)
        silent = now() - (events[0].create_time if events else record.create_time)
        if silent > _SILENT:
            stuck += 1
            job = f"operations/{record.operation_id}"
            yield warning(
                "jobs",
                f"{job} ({record.kind}) has said nothing for {silent // _MINUTE} minutes",
                f"llmos watch {job}; its stderr.log in the state directory; llmos cancel {job}",
            )
    if not stuck:
        yield ok("jobs", f"{len(unfinished)} have not ended, none is stuck")


def _loop(lag: LoopLag) -> Check:
    found = f"the event loop was late by {lag.worst * 1000:.0f} ms at most in the last minute"
    fix = "threads below the number of processors leaves one to the daemon"
    if lag.worst > _HANGING_SECONDS:
        return problem("event-loop", found, fix)
    return (
        warning("event-loop", found, fix) if lag.worst > _LATE_SECONDS else ok("event-loop", found)
    )


def _log(config: Config) -> Check:
    if config.log_prompts:
        found = "log_prompts is on: what people ask and what is answered is in the log"
        return warning("log", found, "set log_prompts = false, and restart")
    if log.dropped_lines():
        found = f"{log.dropped_lines()} lines were dropped: nobody read them fast enough"
        return warning("log", found, "look at what reads the daemon's stdout")
    return ok("log", f"level {log.current_level()}, nothing dropped, no prompts in it")
