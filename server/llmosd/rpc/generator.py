"""From a request message to a running Generation: resolve, encode, check, submit."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from llmos.v1 import generation_service_pb2
from llmosd.errors import GenerationNotFound, InvalidField, LimitExceeded
from llmosd.ipc.messages import Constraint, Submit
from llmosd.policies.policy import Asker, Policy
from llmosd.rpc import convert
from llmosd.rpc.answer import Outcome
from llmosd.rpc.caller import Caller
from llmosd.rpc.constraints import constraint, wanted_tools
from llmosd.rpc.generation import Generation
from llmosd.rpc.guard import Guard
from llmosd.rpc.heads import Heads
from llmosd.rpc.quotas import Quotas
from llmosd.rpc.recent import Recent, Remembered, prompt_json
from llmosd.rpc.request_watch import RequestWatch, Watched
from llmosd.rpc.text_models import TextModels
from llmosd.store.catalog import Catalog
from llmosd.store.names import ModelRef
from llmosd.store.records import VersionRecord
from llmosd.supervisor.pool import ModelPool

# Names of ended generations that CancelGeneration still knows.
_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Running:
    """A generation under way, with what its first event says."""

    generation: Generation
    record: VersionRecord
    parameters: convert.Parameters
    prompt_tokens: int


class Generator:
    """Starts generations, and finds running ones by name."""

    def __init__(
        self,
        catalog: Catalog,
        texts: TextModels,
        pool: ModelPool,
        heads: Heads,
        quotas: Quotas,
        watch: RequestWatch,
        policy: Policy | None = None,
    ) -> None:
        """All are shared with the other servicers."""
        self._policy = policy
        self._quotas = quotas
        self._watch = watch
        self._watched: dict[str, Watched] = {}
        self._catalog = catalog
        self.heads = heads
        self._texts = texts
        self._pool = pool
        self._running: dict[str, Generation] = {}
        # Whose they were, so that nobody else learns of them; and who is counted for which.
        self._tenants: dict[str, str] = {}
        self._counted: dict[str, str] = {}
        self._ended: OrderedDict[str, str] = OrderedDict()
        self._origins: dict[str, Remembered] = {}
        self.recent = Recent()
        self.on_change: Callable[[], None] = lambda: None

    @property
    def num_running(self) -> int:
        """Generations that run or wait."""
        return len(self._running)

    async def start(
        self,
        request: generation_service_pb2.GenerateRequest,
        caller: Caller,
        latents: Sequence[list[float]] = (),
    ) -> Running:
        """Submit a generation. The caller calls `end` when it is done with it, however it ended.

        `latents` are what its answers are to be written around; see Submit. Raises LimitExceeded
        where the tenant has as much as it may.
        """
        watched = self._watch.arrived(request)
        try:
            running = await self._start_counted(request, caller, latents)
        except BaseException as error:
            watched.refused(error)
            raise
        self._watched[running.generation.name] = watched
        watched.began(running.record.name)
        return running

    async def _start_counted(
        self,
        request: generation_service_pb2.GenerateRequest,
        caller: Caller,
        latents: Sequence[list[float]],
    ) -> Running:
        self._quotas.check(caller.tenant)  # before a model is loaded for it
        running = await self._start_uncounted(request, caller, latents)
        try:
            self._quotas.check(caller.tenant)
        except LimitExceeded:  # others of the tenant began meanwhile
            self.end(running.generation)
            raise
        self._quotas.begin(caller.tenant, running.prompt_tokens)
        self._counted[running.generation.name] = caller.tenant
        return running

    async def _start_uncounted(
        self,
        request: generation_service_pb2.GenerateRequest,
        caller: Caller,
        latents: Sequence[list[float]] = (),
    ) -> Running:
        arrived = time.monotonic()
        record = self._catalog.resolve(ModelRef.parse(request.model))
        with self._pool.pins.kept(record):  # an alias may move before the engine has the request
            return await self._start(record, request, caller, latents, arrived)

    async def _start(
        self,
        record: VersionRecord,
        request: generation_service_pb2.GenerateRequest,
        caller: Caller,
        latents: Sequence[list[float]],
        arrived: float,
    ) -> Running:
        self.heads.check_language(record)
        text_model = await self._texts.get(record)
        guard = Guard(self._policy, Asker(caller.tenant, record.model_id))
        request = guard.read(request, text_model.vocabulary)
        prompt = await self._encode(record, request)
        chosen = convert.parameters(request, text_model.defaults, record, len(prompt))
        form = constraint(request, text_model.tool_format)
        if form is not None and chosen.sampling.beams:
            raise InvalidField.of("sampling.beams", f"does not go with {form.field}")
        handle = await self._pool.acquire(record)
        generation = Generation(
            f"generations/{secrets.token_hex(8)}",
            text_model.vocabulary,
            num_choices=chosen.num_choices,
            stops=chosen.stop,
            prompt_tokens=len(prompt),
            want_tokens=chosen.tokens,
            tool_format=text_model.tool_format if wanted_tools(request) else None,
            arrived=arrived,
            guard=guard,
        )
        eos = [] if chosen.ignore_eos else text_model.defaults.eos_token_ids
        stop_ids = sorted({*eos, *chosen.stop_ids})
        make = _maker(prompt, chosen, stop_ids, caller, form, latents)
        generation.attach(handle, handle.submit(generation, make))
        self._running[generation.name] = generation
        self.on_change()
        self._tenants[generation.name] = caller.tenant
        self._origins[generation.name] = Remembered(record, caller.tenant, prompt_json(request), ())
        structlog.contextvars.bind_contextvars(model=record.name, prompt_tokens=len(prompt))
        return Running(generation, record, chosen, len(prompt))

    async def whole(
        self, request: generation_service_pb2.GenerateRequest, caller: Caller
    ) -> tuple[str, Outcome]:
        """The first answer's text, once it is complete, and what it took; a job's, so no quota."""
        running = await self._start_uncounted(request, caller)
        try:
            events = [event async for event in running.generation.events()]
            outcome = events[-1]
            assert isinstance(outcome, Outcome), "the last event is the outcome"
            return running.generation.text(0), outcome
        finally:
            self._origins.pop(running.generation.name, None)  # a job's: nobody says anything to it
            self.end(running.generation)

    def end(self, generation: Generation) -> None:
        """Cancel what still runs, and file the name under the ended ones."""
        generation.cancel()
        origin = self._origins.pop(generation.name, None)
        if origin is not None:
            answers = tuple(generation.text(at) for at in range(generation.num_choices))
            self.recent.add(generation.name, origin._replace(answers=answers))
        counted = self._counted.pop(generation.name, None)
        if counted is not None:
            self._quotas.end(counted, generation.num_tokens)
        watched = self._watched.pop(generation.name, None)
        if watched is not None:
            watched.ended(generation)
        if self._running.pop(generation.name, None) is not None:
            self.on_change()
            self._ended[generation.name] = self._tenants.pop(generation.name)
            if len(self._ended) > _REMEMBERED:
                self._ended.popitem(last=False)
            structlog.contextvars.bind_contextvars(completion_tokens=generation.num_tokens)

    def cancel(self, name: str, owner: str | None = None) -> bool:
        """End a generation from outside, with an owner one of that tenant's; False: it had ended.

        Raises:
            GenerationNotFound: there is none, or it is somebody else's.
        """
        generation = self._running.get(name)
        tenant = self._tenants.get(name, self._ended.get(name))
        if tenant is None or (owner is not None and tenant != owner):
            raise GenerationNotFound(f"{name} is not known")
        return generation is not None and generation.cancel()

    async def _encode(self, record: VersionRecord, request: Any) -> list[int]:
        """The prompt's token ids."""
        kind = request.WhichOneof("input")
        if kind == "tokens":
            convert.check_room(len(request.tokens.ids), 1, record)  # before looking at each
            convert.check_ids("tokens.ids", request.tokens.ids, record.vocabulary_size)
            start = (await self._texts.get(record)).defaults.start_token_id
            if start is not None and start not in request.tokens.ids:
                # Without it nothing tells the prompt from the answer once the answer has begun.
                raise InvalidField.of(
                    "tokens.ids", f"must have the token {start}, which ends this model's prompts"
                )
            return list(request.tokens.ids)
        ids = await self._texts.encode_input(record, request)
        if not ids:
            raise InvalidField.of(kind, "makes no tokens; send some text")
        return ids


def _maker(
    prompt: list[int],
    chosen: convert.Parameters,
    stop_ids: list[int],
    caller: Caller,
    form: Constraint | None,
    latents: Sequence[list[float]],
) -> Callable[[int], Submit]:
    """Makes the engine's order, once the generation has its number there."""
    return lambda identifier: Submit(
        id=identifier,
        prompt=prompt,
        num_choices=chosen.num_choices,
        max_tokens=chosen.max_tokens,
        min_tokens=chosen.min_tokens,
        stop_ids=stop_ids,
        sampling=chosen.sampling,
        num_logprobs=chosen.num_logprobs,
        tenant=caller.tenant,
        constraint=form,
        priority=chosen.priority,
        deadline=caller.deadline,
        latents=list(latents),
    )
