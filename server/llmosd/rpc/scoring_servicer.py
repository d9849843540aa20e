"""llmos.v1.ScoringService: translate, call, translate."""

import asyncio
import math
from typing import Any

from llmos.v1 import scoring_service_pb2 as pb
from llmos.v1 import scoring_service_pb2_grpc
from llmosd.architectures.families.table import family_of
from llmosd.errors import FeatureUnavailable, InvalidField, LlmosError
from llmosd.ipc.messages import SamplingSpec, Scored, Submit
from llmosd.rpc import convert
from llmosd.rpc.caller import Caller
from llmosd.rpc.text_models import TextModels
from llmosd.store.catalog import Catalog
from llmosd.store.names import ModelRef
from llmosd.store.records import VersionRecord
from llmosd.supervisor.engine_handle import Listener
from llmosd.supervisor.pool import ModelPool

_UNUSED = SamplingSpec(0.0, 0, 1.0, 0.0, 1.0, 0.0, 0.0, 0, {})


class ScoringServicer(scoring_service_pb2_grpc.ScoringServiceServicer):
    """Scores text on the pool's engines."""

    def __init__(self, catalog: Catalog, texts: TextModels, pool: ModelPool) -> None:
        self._catalog = catalog
        self._texts = texts
        self._pool = pool

    async def ScoreText(self, request: pb.ScoreTextRequest, context: Any) -> pb.ScoreTextResponse:
        """How likely each token of a text is."""
        caller = Caller.of(context)
        record = self._catalog.resolve(ModelRef.parse(request.model))
        if family_of(record.architecture).latent:
            raise FeatureUnavailable(
                "a text's probability is a sum over all latent vectors, which nobody can compute; "
                "EncodeText tells what a text is to this model"
            )
        ids = await self._encode(record, request)
        logprobs = await self._score(record, ids, convert.priority(request.priority), caller)
        spell = (await self._texts.get(record)).vocabulary.token_bytes
        response = pb.ScoreTextResponse(model_version=record.name)
        response.tokens.add(id=ids[0], bytes=spell(ids[0]))
        for token, logprob in zip(ids[1:], logprobs, strict=True):
            response.tokens.add(id=token, bytes=spell(token), logprob=logprob)
        response.logprob = math.fsum(logprobs)
        response.perplexity = math.exp(min(-response.logprob / len(logprobs), 700.0))
        return response

    async def _encode(self, record: VersionRecord, request: pb.ScoreTextRequest) -> list[int]:
        kind = request.WhichOneof("input") or ""
        if kind == "tokens":
            ids = list(request.tokens.ids)
        else:
            ids = await self._texts.encode_input(record, request)
        convert.check_room(len(ids), 0, record)
        convert.check_ids("tokens.ids", ids, record.vocabulary_size)
        if len(ids) < 2:
            raise InvalidField.of(kind, "has one token; nothing comes before it to score it by")
        return ids

    async def _score(
        self, record: VersionRecord, ids: list[int], priority: int, caller: Caller
    ) -> list[float]:
        """Log-probabilities of all tokens but the first."""
        handle = await self._pool.acquire(record)
        scoring = _Scoring(len(ids) - 1)
        number = handle.submit(
            scoring,
            lambda number: Submit(
                number, ids, 1, 0, 0, [], _UNUSED, -1, score=True,
                tenant=caller.tenant, priority=priority, deadline=caller.deadline,
            ),
        )  # fmt: skip
        try:
            return await scoring.result
        finally:
            handle.cancel(number)


class _Scoring(Listener):
    """Collects what an engine says about one text."""

    def __init__(self, count: int) -> None:
        self.result: asyncio.Future[list[float]] = asyncio.get_running_loop().create_future()
        self._logprobs = [0.0] * count

    def on_scored(self, scored: Scored) -> None:
        # By place: an engine that was short of room computes some of it twice.
        first = scored.first - 1
        self._logprobs[first : first + len(scored.logprobs)] = scored.logprobs
        if scored.done and not self.result.done():
            self.result.set_result(self._logprobs)

    def on_failed(self, error: LlmosError) -> None:
        if not self.result.done():
            self.result.set_exception(error)
