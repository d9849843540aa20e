"""Answers explained: made, scored, attributed to their prompts, and traced back.

The answer and its alternatives are the engine's; the gradients are a job's, which has the weights
in float32 in a process of its own, so that no stream waits for them.
"""

import asyncio
from typing import NamedTuple

from llmos.v1 import generation_service_pb2
from llmos.v1 import scoring_service_pb2 as pb
from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.table import families, family_of
from llmosd.errors import (
    ContextLengthExceeded,
    FeatureUnavailable,
    InsufficientMemory,
    InvalidField,
)
from llmosd.jobs.messages import ExplainResult, ExplainSpec
from llmosd.rpc import convert
from llmosd.rpc.answer import Delta
from llmosd.rpc.caller import Caller
from llmosd.rpc.choices import pair_of, scored_tokens
from llmosd.rpc.generator import Generator
from llmosd.rpc.lineage import lineage_of
from llmosd.rpc.questions import score
from llmosd.rpc.text_models import TextModels
from llmosd.store.catalog import Catalog
from llmosd.store.records import VersionRecord
from llmosd.store.versions import VersionStore
from llmosd.supervisor.job_runner import JobRunner
from llmosd.supervisor.pool import ModelPool

_ANSWER_TOKENS, _TOP, _STEPS = 16, 5, 512
# A gradient through more takes gigabytes, and minutes.
_MOST_TOKENS = 2048
_RUNTIME_BYTES = 420 * 1024 * 1024
# Tokens whose activations are kept at once: see jobs.explain.
_KEPT_TOKENS = 512


class _Asked(NamedTuple):
    """Token ids of a prompt and of its answer."""

    prompt: list[int]
    answer: list[int]


class Explainer:
    """Explains answers, one at a time: each takes a model's weights in memory."""

    def __init__(
        self,
        catalog: Catalog,
        store: VersionStore,
        texts: TextModels,
        pool: ModelPool,
        generator: Generator,
        jobs: JobRunner,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._texts = texts
        self._pool = pool
        self._generator = generator
        self._jobs = jobs
        self._turn = asyncio.Semaphore(1)

    async def explain(
        self, request: pb.ExplainGenerationRequest, record: VersionRecord, caller: Caller
    ) -> pb.ExplainGenerationResponse:
        """See ExplainGeneration.

        Raises:
            FeatureUnavailable: for families whose prompts are not read token by token.
            InvalidField: a target that the answer does not have, or an answer without tokens.
            ContextLengthExceeded, InsufficientMemory, and what an engine refuses by.
        """
        check_explained(record)
        asked = await self._asked(request, record, caller)
        target = request.target if request.HasField("target") else -1
        if target >= len(asked.answer):
            raise InvalidField.of("target", f"the answer has {len(asked.answer)} tokens")
        ids, top = [*asked.prompt, *asked.answer], request.top if request.HasField("top") else _TOP
        scores = await score(self._pool, record, ids, caller, first=len(asked.prompt), top=top)
        found = await self._attributed(request, record, asked, target)
        spell = (await self._texts.get(record)).vocabulary
        response = pb.ExplainGenerationResponse(
            model_version=record.name,
            answer=scored_tokens(spell, asked.answer, scores),
            integration=_integration(found),
            lineage=lineage_of(self._catalog, self._store, record),
        )
        for token, value in zip(asked.prompt, found.attributions, strict=True):
            response.prompt.add(id=token, bytes=spell.token_bytes(token), attribution=value)
        return response

    async def _asked(
        self, request: pb.ExplainGenerationRequest, record: VersionRecord, caller: Caller
    ) -> _Asked:
        model = await self._texts.get(record)
        kind = request.WhichOneof("input") or ""
        context = pb.ScoreChoicesRequest()
        if kind == "text":
            context.text.CopyFrom(request.text)
        elif kind == "tokens":
            convert.check_ids("tokens.ids", request.tokens.ids, record.vocabulary_size)
            context.tokens.CopyFrom(request.tokens)
        else:
            context.tokens.ids.extend(await self._texts.encode_input(record, request))
        answer = pb.ScoringChoice()
        if request.HasField("answer_tokens"):
            ids = request.answer_tokens.ids
            convert.check_ids("answer_tokens.ids", ids, record.vocabulary_size)
            answer.tokens.CopyFrom(request.answer_tokens)
        elif request.HasField("answer_text"):
            answer.text.CopyFrom(request.answer_text)
            if kind == "text":
                # Both are read as one text.
                answer.text.parse_special = request.text.parse_special
        else:
            prompt = (await pair_of(context, _ANY, model, record)).context
            most = request.max_tokens if request.HasField("max_tokens") else _ANSWER_TOKENS
            return await self._checked(
                "input", _Asked(prompt, await self._said(record, prompt, most, caller)), record
            )
        return await self._checked(
            request.WhichOneof("answer") or "",
            _Asked(*await pair_of(context, answer, model, record)),
            record,
        )

    async def _checked(self, field: str, asked: _Asked, record: VersionRecord) -> _Asked:
        if not asked.answer:
            raise InvalidField.of(
                field,
                "there is no answer to explain: "
                + ("the model ends it at once" if field == "input" else "it has no token"),
            )
        size, most = len(asked.prompt) + len(asked.answer), _MOST_TOKENS
        convert.check_room(size - 1, 0, record)
        if size > most:
            raise ContextLengthExceeded(
                f"prompt and answer have {size} tokens; at most {most} can be explained",
                metadata={"limit": str(most), "actual": str(size)},
            )
        return asked

    async def _said(
        self, record: VersionRecord, prompt: list[int], most: int, caller: Caller
    ) -> list[int]:
        """What the model answers greedily."""
        request = generation_service_pb2.GenerateRequest(model=record.name)
        request.tokens.ids.extend(prompt)
        request.sampling.temperature = 0.0
        request.stopping.max_tokens = most
        request.output.tokens = True
        running = await self._generator.start(request, caller)
        try:
            steps = [step async for step in running.generation.events()]
        finally:
            self._generator.end(running.generation)
        return [token.id for step in steps if isinstance(step, Delta) for token in step.tokens]

    async def _attributed(
        self,
        request: pb.ExplainGenerationRequest,
        record: VersionRecord,
        asked: _Asked,
        target: int,
    ) -> ExplainResult:
        zero = request.baseline == pb.ExplainGenerationRequest.BASELINE_ZERO
        spec = ExplainSpec(
            model_dir=str(self._store.path(record.model_id, record.version)),
            base_dir=self._pool.planner.base_dir(record),
            prompt=asked.prompt,
            answer=asked.answer,
            target=target,
            baseline="zero" if zero else "mean",
            max_steps=request.max_steps if request.HasField("max_steps") else _STEPS,
        )
        config = self._store.config(record.model_id, record.version, ModelConfig)
        async with self._turn:
            need, room = _memory(config, record), self._pool.planner.room
            if need > room:
                raise InsufficientMemory(
                    f"explaining takes {need >> 20} MiB beside the model, {room >> 20} MiB are "
                    "free; unload a model"
                )
            return await self._jobs.run(f"explain-{record.model_id}", spec, ExplainResult)


_ANY = pb.ScoringChoice(tokens=generation_service_pb2.TokenInput(ids=[0]))
"""Stands for an answer that is not known yet."""


def check_explained(record: VersionRecord) -> None:
    """Raise FeatureUnavailable where no network of layers reads a prompt token by token."""
    if not _explained(record.architecture):
        fit = ", ".join(name for name in families() if _explained(name))
        raise FeatureUnavailable(
            f"{record.name} is of family {record.architecture}; explained are the answers of {fit}"
        )


def _explained(architecture: str) -> bool:
    family = family_of(architecture)
    return bool(family.embeds) and family.causal and not family.starts


def _memory(config: ModelConfig, record: VersionRecord) -> int:
    """Bytes that a job needs: weights in float32, and what the way back needs of each layer."""
    wide = 16 * config.hidden_size + 6 * config.intermediate_size
    return _RUNTIME_BYTES + 4 * record.parameter_count + 4 * _KEPT_TOKENS * config.num_layers * wide


def _integration(found: ExplainResult) -> pb.Integration:
    change = found.output - found.baseline_output
    error = sum(found.attributions) - change
    return pb.Integration(
        output=found.output,
        baseline_output=found.baseline_output,
        error=error,
        relative_error=abs(error / change) if change else float(bool(error)),
        steps=found.steps,
        converged=found.converged,
    )
