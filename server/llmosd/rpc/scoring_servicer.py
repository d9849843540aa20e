"""llmos.v1.ScoringService: translate, call, translate."""

import math
from collections.abc import Sequence
from typing import Any

from llmos.v1 import scoring_service_pb2 as pb
from llmos.v1 import scoring_service_pb2_grpc
from llmosd.architectures.families.table import family_of
from llmosd.errors import InvalidField
from llmosd.rpc import convert
from llmosd.rpc.caller import Caller
from llmosd.rpc.choices import (
    check_length,
    choice_scores,
    pairs_of,
    prefix_of,
    score_pairs,
    scored_tokens,
)
from llmosd.rpc.embeddings import embed
from llmosd.rpc.explainer import Explainer
from llmosd.rpc.heads import Heads
from llmosd.rpc.questions import ask, score
from llmosd.rpc.text_models import TextModels
from llmosd.store.catalog import Catalog
from llmosd.store.names import ModelRef
from llmosd.store.records import VersionRecord
from llmosd.supervisor.pool import ModelPool


class ScoringServicer(scoring_service_pb2_grpc.ScoringServiceServicer):
    """Scores text on the pool's engines."""

    def __init__(
        self,
        catalog: Catalog,
        texts: TextModels,
        pool: ModelPool,
        heads: Heads,
        explainer: Explainer,
    ) -> None:
        self._explainer = explainer
        self._catalog = catalog
        self._texts = texts
        self._pool = pool
        self._heads = heads

    async def ScoreText(self, request: pb.ScoreTextRequest, context: Any) -> pb.ScoreTextResponse:
        """How likely each token of a text is."""
        caller = Caller.of(context)
        record = self._catalog.resolve(ModelRef.parse(request.model))
        self._pool.pins.hold(record)
        self._heads.check_scorable(record)
        if family_of(record.architecture).starts:
            raise InvalidField.of(
                "model",
                "reads a prompt to answer it: there is no text to score; call ScoreChoices",
            )
        ids = await self._encode(record, request)
        model = await self._texts.get(record)
        if request.prefix:
            ids = [prefix_of(model), *ids]
        if len(ids) < 2:
            raise InvalidField.of(
                request.WhichOneof("input") or "",
                "has one token; nothing comes before it to score it by; set prefix",
            )
        check_length(request.WhichOneof("input") or "", ids, record)
        scores = await score(
            self._pool, record, ids, caller, convert.priority(request.priority), top=request.top
        )
        response = pb.ScoreTextResponse(model_version=record.name)
        response.tokens.add(id=ids[0], bytes=model.vocabulary.token_bytes(ids[0]))
        response.tokens.extend(scored_tokens(model.vocabulary, ids[1:], scores))
        response.logprob = math.fsum(each.logprob for each in scores)
        response.perplexity = math.exp(min(-response.logprob / len(scores), 700.0))
        return response

    async def ScoreChoices(
        self, request: pb.ScoreChoicesRequest, context: Any
    ) -> pb.ScoreChoicesResponse:
        """Which continuation is the likeliest."""
        caller = Caller.of(context)
        record = self._catalog.resolve(ModelRef.parse(request.model))
        self._pool.pins.hold(record)
        self._heads.check_scorable(record)
        model = await self._texts.get(record)
        pairs = await pairs_of(request, model, record)
        priority = convert.priority(request.priority)
        scores = await score_pairs(self._pool, record, pairs, caller, priority)
        return choice_scores(record, model.vocabulary, request, pairs, scores)

    async def ClassifyText(
        self, request: pb.ClassifyTextRequest, context: Any
    ) -> pb.ClassifyTextResponse:
        """Which label, or which grade, a text has."""
        caller = Caller.of(context)
        record = self._catalog.resolve(ModelRef.parse(request.model))
        self._pool.pins.hold(record)
        config = self._heads.check_labels(record)
        ids = await self._encode(record, request)
        priority = convert.priority(request.priority)
        logits = await ask(self._pool, record, "classify", ids, caller, priority)
        response = pb.ClassifyTextResponse(model_version=record.name)
        if config.head == "regress":
            response.grade = logits[0]
            return response
        chances = _softmax(logits)
        for at in sorted(range(len(logits)), key=lambda at: (-chances[at], -logits[at], at)):
            response.labels.add(label=config.labels[at], probability=chances[at], logit=logits[at])
        return response

    async def EmbedText(self, request: pb.EmbedTextRequest, context: Any) -> pb.EmbedTextResponse:
        """Texts as vectors."""
        record = self._catalog.resolve(ModelRef.parse(request.model))
        self._pool.pins.hold(record)
        default = self._heads.check_embeds(record)
        model = await self._texts.get(record)
        return await embed(request, record, model, self._pool, Caller.of(context), default)

    async def ExplainGeneration(
        self, request: pb.ExplainGenerationRequest, context: Any
    ) -> pb.ExplainGenerationResponse:
        """Why a model answers as it does."""
        record = self._catalog.resolve(ModelRef.parse(request.model))
        self._pool.pins.hold(record)
        self._heads.check_language(record)
        return await self._explainer.explain(request, record, Caller.of(context))

    async def _encode(self, record: VersionRecord, request: Any) -> list[int]:
        """Token ids of a request's input; a text to be classified is as those it learned from."""
        kind = request.WhichOneof("input") or ""
        if kind == "tokens":
            ids = list(request.tokens.ids)
        else:
            ids = await self._texts.encode_input(record, request)
        if isinstance(request, pb.ClassifyTextRequest) and kind == "text":
            defaults = (await self._texts.get(record)).defaults
            if not set(ids) - {defaults.bos_token_id}:
                raise InvalidField.of(kind, "makes no tokens; send some text")
            ids += defaults.eos_token_ids[:1]
            convert.check_room(len(ids), 0, record)
        convert.check_ids("tokens.ids", ids, record.vocabulary_size)
        return ids


def _softmax(logits: Sequence[float]) -> list[float]:
    most = max(logits)
    shares = [math.exp(each - most) for each in logits]
    whole = math.fsum(shares)
    return [share / whole for share in shares]
