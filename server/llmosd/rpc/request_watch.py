"""A request for an answer, from arrival to end, for metrics, traces and, if asked for, the log."""

import asyncio
import time
from typing import Any

import structlog

from llmosd.errors import LlmosError
from llmosd.observing.request_metrics import Pace, RequestMetrics
from llmosd.observing.tracing import Phases, Tracing
from llmosd.rpc.answer import CANCELLED
from llmosd.rpc.generation import Generation
from llmosd.rpc.recent import prompt_json
from llmosd.store.catalog import Catalog
from llmosd.store.names import ModelRef

_log = structlog.get_logger()
_CANCELLED = "CANCELLED"


def installed_id(catalog: Catalog, name: str) -> str:
    """The ID of the model that a request names, "" where there is none: labels are no free text."""
    try:
        return catalog.resolve(ModelRef.parse(name)).model_id
    except LlmosError:
        return ""


class RequestWatch:
    """Shared by all requests of a daemon."""

    def __init__(
        self, catalog: Catalog, metrics: RequestMetrics, tracing: Tracing, *, log_prompts: bool
    ) -> None:
        self.catalog = catalog
        self.metrics = metrics
        self.tracing = tracing
        self.log_prompts = log_prompts

    def arrived(self, request: Any) -> "Watched":
        """Begin with one request."""
        return Watched(self, request)


class Watched:
    """One request; `ended` or `refused` is called once."""

    def __init__(self, watch: RequestWatch, request: Any) -> None:
        self._watch = watch
        self._request = request
        self._arrived = time.monotonic()
        self._operation = "chat" if request.WhichOneof("input") == "chat" else "text_completion"

    def refused(self, error: BaseException) -> None:
        """It came to nothing: the daemon said no, or its caller left."""
        model = installed_id(self._watch.catalog, self._request.model)
        seconds = time.monotonic() - self._arrived
        if isinstance(error, LlmosError):
            self._watch.metrics.refused(self._operation, model, seconds, error.reason)
        elif isinstance(error, asyncio.CancelledError):
            self._watch.metrics.ended(self._operation, model, seconds, error=_CANCELLED)

    def began(self, model: str) -> None:
        """An engine has it; `model` is the version."""
        self._version = model
        if self._watch.log_prompts:
            _log.info("prompt", model=model, prompt=prompt_json(self._request))

    def ended(self, generation: Generation) -> None:
        """It is over, and nothing runs for it any more."""
        model = self._version.split("/")[1]
        error = _error_of(generation)
        outcome = generation.outcome()
        metrics, seconds = self._watch.metrics, time.monotonic() - self._arrived
        if error and not generation.began:
            metrics.refused(self._operation, model, seconds, error)
        else:
            metrics.ended(self._operation, model, seconds, error=error, pace=_pace(generation))
        self._watch.tracing.generation(
            f"{self._operation} {model}",
            {
                "gen_ai.operation.name": self._operation,
                "gen_ai.request.model": model,
                "gen_ai.response.model": self._version,
                "gen_ai.response.id": generation.name,
                "gen_ai.usage.input_tokens": outcome.prompt_tokens,
                "gen_ai.usage.output_tokens": outcome.completion_tokens,
            },
            arrived=self._arrived,
            phases=Phases(outcome.queue, outcome.prefill, outcome.decode)
            if generation.began
            else None,
            error=error,
        )
        if self._watch.log_prompts:
            answers = [generation.text(at) for at in range(generation.num_choices)]
            _log.info("answer", model=self._version, answers=answers)


def _pace(generation: Generation) -> Pace:
    outcome, longest = generation.outcome(), generation.longest
    if not longest:
        return Pace()
    per_token = outcome.decode / (longest - 1) if longest > 1 else None
    return Pace(outcome.queue + outcome.prefill, per_token)


def _error_of(generation: Generation) -> str:
    """The reason why there is no answer, or not the whole."""
    if generation.error is not None:
        return generation.error.reason
    return _CANCELLED if CANCELLED in generation.ends() else ""
