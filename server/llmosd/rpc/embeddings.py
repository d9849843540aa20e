"""Texts as vectors: asks an engine for each, and writes the answer."""

import math
from collections.abc import Sequence
from functools import partial

from llmos.v1 import scoring_service_pb2 as pb
from llmosd.architectures.families.table import family_of
from llmosd.errors import InvalidField
from llmosd.ipc.messages import Pooling
from llmosd.rpc import convert
from llmosd.rpc.caller import Caller
from llmosd.rpc.questions import ask, together
from llmosd.store.records import VersionRecord
from llmosd.supervisor.pool import ModelPool
from llmosd.text.text_model import TextModel

_POOLINGS: dict[int, Pooling] = {
    pb.EmbedTextRequest.POOLING_MEAN: "mean",
    pb.EmbedTextRequest.POOLING_LAST: "last",
    pb.EmbedTextRequest.POOLING_FIRST: "first",
}


async def embed(
    request: pb.EmbedTextRequest,
    record: VersionRecord,
    model: TextModel,
    pool: ModelPool,
    caller: Caller,
    default: Pooling,
) -> pb.EmbedTextResponse:
    """One vector of hidden_size numbers for each input.

    Raises:
        InvalidField: an input without tokens, or ids that are none.
        ContextLengthExceeded: an input that does not fit.
    """
    pooling = _POOLINGS.get(request.pooling, default)
    every = [await _tokens(request, at, record, model) for at in range(len(request.inputs))]
    priority = convert.priority(request.priority)
    vectors = await together(
        partial(ask, pool, record, "embed", ids, caller, priority, pooling) for ids in every
    )
    response = pb.EmbedTextResponse(
        model_version=record.name,
        pooling=f"POOLING_{pooling.upper()}",
    )
    for ids, vector in zip(every, vectors, strict=True):
        values = _unit(vector) if request.normalize else vector
        response.embeddings.add(values=values, tokens=len(ids))
    return response


async def _tokens(
    request: pb.EmbedTextRequest, at: int, record: VersionRecord, model: TextModel
) -> list[int]:
    given, field = request.inputs[at], f"inputs[{at}]"
    if given.WhichOneof("input") == "tokens":
        ids = list(given.tokens.ids)
        convert.check_room(len(ids), 0, record)
        convert.check_ids(f"{field}.tokens.ids", ids, record.vocabulary_size)
        return ids
    text = given.text
    ids = await model.encode(text.text, add_special=True, parse_special=text.parse_special)
    if not set(ids) - {model.defaults.bos_token_id}:
        raise InvalidField.of(f"{field}.text", "makes no tokens; send some text")
    if not family_of(record.architecture).causal:
        # Texts ended so where the model learned from them.
        ids += model.defaults.eos_token_ids[:1]
    convert.check_room(len(ids), 0, record)
    return ids


def _unit(vector: Sequence[float]) -> list[float]:
    length = math.hypot(*vector)
    return [value / length for value in vector] if length else list(vector)
