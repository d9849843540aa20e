"""How a durable job's run ended, as the event that says so."""

import logging

from llmosd.errors import LlmosError, OperationCancelled
from llmosd.ipc import Failure
from llmosd.jobs.context import JobInterrupted
from llmosd.jobs.faults import as_ours
from llmosd.store.run_events import JobEnd, JobEvent, PhaseEvent

_STOPPED = "the daemon stopped"

_log = logging.getLogger(__name__)


def outcome_of(error: BaseException) -> JobEvent:
    """The last event of a run that raised; a run that is to go on later ends in a phase."""
    if isinstance(error, JobInterrupted):
        if error.wish == "pause":
            return PhaseEvent("PAUSED")
        return PhaseEvent("QUEUED", _STOPPED)
    if isinstance(error, OperationCancelled):
        return JobEnd("cancelled")
    ours = as_ours(error)
    if not isinstance(ours, LlmosError):
        _log.error("the job failed", exc_info=error)
    return JobEnd("failed", failure=Failure.of(ours))
