"""Contexts and their continuations: as tokens, as questions to an engine, as an answer.

How texts are cut is lm-evaluation-harness's rule (lm_eval/api/model.py, TemplateLM._encode_pair):
tokens are those of context and continuation joined, cut after as many as the context alone has;
spaces at the context's end go to the continuation. So "the" after "in " is " the" after "in", the
token that the model has seen.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from llmos.v1 import generation_service_pb2
from llmos.v1 import scoring_service_pb2 as pb
from llmosd.architectures.families.table import family_of
from llmosd.errors import ContextLengthExceeded, InvalidField
from llmosd.rpc import convert
from llmosd.rpc.caller import Caller
from llmosd.rpc.questions import TokenScore, score, together
from llmosd.store.records import VersionRecord
from llmosd.supervisor.pool import ModelPool
from llmosd.text.text_model import TextModel
from llmosd.text.vocabulary import Vocabulary

# A block of the engine's cache: shorter contexts are not found there.
_WORTH_SHARING = 16


class Pair(NamedTuple):
    """Token ids: what is read, and what is scored."""

    context: list[int]
    choice: list[int]


async def pairs_of(
    request: pb.ScoreChoicesRequest, model: TextModel, record: VersionRecord
) -> list[Pair]:
    """One pair for each of the request's choices.

    Raises:
        InvalidField: a choice or a context without tokens, or ids that are none.
        ContextLengthExceeded: where one is too long; nothing is ever cut off.
    """
    convert.check_ids("context.tokens.ids", request.tokens.ids, record.vocabulary_size)
    pairs = []
    for at, choice in enumerate(request.choices):
        field = f"choices[{at}]"
        convert.check_ids(f"{field}.tokens.ids", choice.tokens.ids, record.vocabulary_size)
        pair = await pair_of(request, choice, model, record)
        if not pair.choice:
            raise InvalidField.of(
                field,
                "adds no token to the context's: its text is part of the context's last token; "
                "send both as tokens, or begin the choice where a word begins",
            )
        check_length(field, [*pair.context, *pair.choice], record)
        pairs.append(pair)
    return pairs


async def pair_of(
    request: pb.ScoreChoicesRequest, choice: pb.ScoringChoice, model: TextModel, record: Any
) -> Pair:
    """Tokens of the request's context and of a choice, which may be none; raises InvalidField."""
    given, kind = request.WhichOneof("context"), choice.WhichOneof("input")
    starts = family_of(record.architecture).starts
    if given == "tokens":
        context = list(request.tokens.ids)
        start = model.defaults.start_token_id
        if starts and context[-1] != start:
            raise InvalidField.of(
                "tokens.ids", f"must end with the token {start}, which ends this model's prompts"
            )
    elif given == "text" and kind == "text" and not starts:
        return await _joined(request.text, choice.text, model)
    elif given == "text":
        context = await _encode(model, request.text, request.text.text, add_special=True)
    elif starts:
        raise InvalidField.of("context", "is what this model reads: send text or tokens")
    elif kind == "tokens":
        return Pair([prefix_of(model)], list(choice.tokens.ids))
    else:
        own = await _encode(model, choice.text, choice.text.text, add_special=False)
        return _after_prefix(model, own)
    if kind == "tokens":
        return Pair(context, list(choice.tokens.ids))
    return Pair(context, await _encode(model, choice.text, choice.text.text, add_special=False))


def _after_prefix(model: TextModel, ids: list[int]) -> Pair:
    """A text after nothing; one that begins with the prefix token itself is not given another."""
    prefix = prefix_of(model)
    return Pair(ids[:1], ids[1:]) if ids[:1] == [prefix] else Pair([prefix], ids)


async def _joined(
    context: generation_service_pb2.TextInput,
    choice: generation_service_pb2.TextInput,
    model: TextModel,
) -> Pair:
    """Two texts, cut by the harness's rule."""
    if context.parse_special != choice.parse_special:
        raise InvalidField.of(
            "context.text.parse_special", "must be the choices', as both are read as one text"
        )
    before = context.text.rstrip()
    text = context.text + choice.text
    whole = await _encode(model, context, text, add_special=True)
    if not before:
        # Spaces alone are no context: the choice has them all.
        return _after_prefix(model, await _encode(model, context, text, add_special=False))
    known = len(await _encode(model, context, before, add_special=True))
    return Pair(whole[:known], whole[known:])


async def _encode(
    model: TextModel,
    given: generation_service_pb2.TextInput,
    text: str,
    *,
    add_special: bool,
) -> list[int]:
    return await model.encode(text, add_special=add_special, parse_special=given.parse_special)


def prefix_of(model: TextModel) -> int:
    """The token that stands for "nothing before"; raises InvalidField where there is none."""
    found = model.prefix_id
    if found is None:
        raise InvalidField.of(
            "model", "has no token that begins or ends texts; send a context of your own"
        )
    return found


def check_length(field: str, ids: Sequence[int], record: VersionRecord) -> None:
    """Raise ContextLengthExceeded where the model cannot read all but the last token.

    The last one is only scored, so that a text may have one token more than the context holds.
    """
    if len(ids) - 1 > record.context_length:
        raise ContextLengthExceeded(
            f"{field} and what is before it have {len(ids)} tokens; scored are at most "
            f"{record.context_length + 1}; leave out the beginning of the context",
            metadata={"limit": str(record.context_length + 1), "actual": str(len(ids))},
        )


async def score_pairs(
    pool: ModelPool, record: VersionRecord, pairs: list[Pair], caller: Caller, priority: int
) -> list[list[TokenScore]]:
    """Scores of each pair's choice; a context that they share is computed once.

    The first one of a context goes ahead, and leaves it in the engine's cache for the others. On a
    CPU the numbers are the same to the bit, whatever is found there.
    """

    async def one(pair: Pair) -> list[TokenScore]:
        ids = [*pair.context, *pair.choice]
        return await score(pool, record, ids, caller, priority, first=len(pair.context))

    leaders: dict[tuple[int, ...], int] = {}
    for at, pair in enumerate(pairs):
        if len(pair.context) > _WORTH_SHARING:
            leaders.setdefault(tuple(pair.context), at)
    ahead = sorted(leaders.values()) if len(leaders) < len(pairs) else []
    rest = [at for at in range(len(pairs)) if at not in set(ahead)]
    found: dict[int, list[TokenScore]] = {}
    for wave in (ahead, rest):
        scores = await together(partial(one, pairs[at]) for at in wave)
        found |= dict(zip(wave, scores, strict=True))
    return [found[at] for at in range(len(pairs))]


def choice_scores(
    record: VersionRecord,
    vocabulary: Vocabulary,
    request: pb.ScoreChoicesRequest,
    pairs: list[Pair],
    scores: list[list[TokenScore]],
) -> pb.ScoreChoicesResponse:
    """The response."""
    response = pb.ScoreChoicesResponse(model_version=record.name)
    for choice, pair, own in zip(request.choices, pairs, scores, strict=True):
        tokens = scored_tokens(vocabulary, pair.choice, own)
        total = math.fsum(each.logprob for each in own)
        text = choice.text.text.encode() or b"".join(token.bytes for token in tokens)
        response.choices.add(
            logprob=total,
            logprob_per_token=total / len(own),
            # Control tokens alone have no bytes.
            logprob_per_byte=total / max(1, len(text)),
            greedy=all(each.rank == 1 for each in own),
            tokens=tokens,
        )
    order = sorted(range(len(pairs)), key=lambda at: -response.choices[at].logprob)
    for rank, at in enumerate(order, 1):
        response.choices[at].rank = rank
    return response


def scored_tokens(
    vocabulary: Vocabulary, ids: Sequence[int], scores: Sequence[TokenScore]
) -> list[generation_service_pb2.TokenOutput]:
    """Tokens as messages."""
    spell = vocabulary.token_bytes
    tokens = []
    for token, found in zip(ids, scores, strict=True):
        said = generation_service_pb2.TokenOutput(
            id=token, bytes=spell(token), logprob=found.logprob, rank=found.rank
        )
        for other, logprob in found.top:
            said.top.add(id=other, bytes=spell(other), logprob=logprob)
        tokens.append(said)
    return tokens
