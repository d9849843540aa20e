"""llmos.v1.ScoringService: translate, call, translate."""

import math
from collections.abc import Sequence
from typing import Any

from llmos.v1 import scoring_service_pb2 as pb
from llmos.v1 import scoring_service_pb2_grpc
from llmosd.architectures.families.table import family_of
from llmosd.errors import FeatureUnavailable, InvalidField
from llmosd.rpc import convert
from llmosd.rpc.caller import Caller
from llmosd.rpc.heads import Heads
from llmosd.rpc.questions import ask
from llmosd.rpc.text_models import TextModels
from llmosd.store.catalog import Catalog
from llmosd.store.names import ModelRef
from llmosd.store.records import VersionRecord
from llmosd.supervisor.pool import ModelPool


class ScoringServicer(scoring_service_pb2_grpc.ScoringServiceServicer):
    """Scores text on the pool's engines."""

    def __init__(self, catalog: Catalog, texts: TextModels, pool: ModelPool, heads: Heads) -> None:
        self._catalog = catalog
        self._texts = texts
        self._pool = pool
        self._heads = heads

    async def ScoreText(self, request: pb.ScoreTextRequest, context: Any) -> pb.ScoreTextResponse:
        """How likely each token of a text is."""
        caller = Caller.of(context)
        record = self._catalog.resolve(ModelRef.parse(request.model))
        self._pool.pins.hold(record)
        self._heads.check_language(record)
        if family_of(record.architecture).latent:
            raise FeatureUnavailable(
                "a text's probability is a sum over all latent vectors, which nobody can compute; "
                "EncodeText tells what a text is to this model"
            )
        if family_of(record.architecture).starts:
            raise InvalidField.of("model", "reads a prompt to answer it: there is no text to score")
        ids = await self._encode(record, request)
        if len(ids) < 2:
            raise InvalidField.of(
                request.WhichOneof("input") or "",
                "has one token; nothing comes before it to score it by",
            )
        priority = convert.priority(request.priority)
        logprobs = await ask(self._pool, record, "score", ids, caller, priority)
        spell = (await self._texts.get(record)).vocabulary.token_bytes
        response = pb.ScoreTextResponse(model_version=record.name)
        response.tokens.add(id=ids[0], bytes=spell(ids[0]))
        for token, logprob in zip(ids[1:], logprobs, strict=True):
            response.tokens.add(id=token, bytes=spell(token), logprob=logprob)
        response.logprob = math.fsum(logprobs)
        response.perplexity = math.exp(min(-response.logprob / len(logprobs), 700.0))
        return response

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
