"""What a model thinks of texts: each call as a value, as in `calls`."""

from collections.abc import Sequence
from typing import Any

from llmos.v1 import scoring_service_pb2 as pb
from llmos_client import parsing_generations, requests, scores
from llmos_client.calls import Call

_POOLING: Any = pb.EmbedTextRequest.Pooling


Input = str | Sequence[int]
"""A text, or token ids."""


def score_request(
    model: str, text: str | None, tokens: Sequence[int] | None, *, prefix: bool, top: int
) -> pb.ScoreTextRequest:
    """Build a ScoreTextRequest."""
    request = pb.ScoreTextRequest(model=model, prefix=prefix, top=top)
    _fill_input(request, text, tokens)
    return request


def score(
    request: pb.ScoreTextRequest, priority: str | None, timeout: float | None
) -> Call[scores.Score]:
    """Call ScoreText."""
    request.priority = requests.priority_value(priority)

    def parse(response: Any) -> scores.Score:
        return scores.Score(
            response.model_version,
            parsing_generations.tokens(response.tokens),
            response.logprob,
            response.perplexity,
        )

    return Call("scoring", "ScoreText", request, parse, small=False, timeout=timeout)


def choices_request(
    model: str, context: Input, choices: Sequence[Input], *, parse_special: bool
) -> pb.ScoreChoicesRequest:
    """Build a ScoreChoicesRequest."""
    request = pb.ScoreChoicesRequest(model=model)
    if context:
        _fill(request, context, parse_special=parse_special)
    for choice in choices:
        _fill(request.choices.add(), choice, parse_special=parse_special)
    return request


def score_choices(
    request: pb.ScoreChoicesRequest, priority: str | None, timeout: float | None
) -> Call[scores.ChoiceScores]:
    """Call ScoreChoices."""
    request.priority = requests.priority_value(priority)

    def parse(response: Any) -> scores.ChoiceScores:
        return scores.ChoiceScores(
            response.model_version,
            tuple(
                scores.ChoiceScore(
                    each.logprob,
                    each.logprob_per_token,
                    each.logprob_per_byte,
                    each.rank,
                    each.greedy,
                    parsing_generations.tokens(each.tokens),
                )
                for each in response.choices
            ),
        )

    return Call("scoring", "ScoreChoices", request, parse, small=False, timeout=timeout)


def embed_request(
    model: str, inputs: Sequence[Input], pooling: str | None, *, normalize: bool
) -> pb.EmbedTextRequest:
    """Build an EmbedTextRequest."""
    request = pb.EmbedTextRequest(model=model, normalize=normalize)
    if pooling is not None:
        request.pooling = requests.enum_value(_POOLING, "POOLING_", pooling)
    for each in inputs:
        _fill(request.inputs.add(), each, parse_special=False)
    return request


def embed(
    request: pb.EmbedTextRequest, priority: str | None, timeout: float | None
) -> Call[scores.Embeddings]:
    """Call EmbedText."""
    request.priority = requests.priority_value(priority)

    def parse(response: Any) -> scores.Embeddings:
        return scores.Embeddings(
            response.model_version,
            tuple(scores.Embedding(tuple(e.values), e.tokens) for e in response.embeddings),
            _POOLING.Name(response.pooling).removeprefix("POOLING_").lower(),
        )

    return Call("scoring", "EmbedText", request, parse, small=False, timeout=timeout)


def classify(
    model: str,
    text: str | None,
    tokens: Sequence[int] | None,
    priority: str | None,
    timeout: float | None,
) -> Call[scores.Classification]:
    """Call ClassifyText."""
    request = pb.ClassifyTextRequest(model=model, priority=requests.priority_value(priority))
    _fill_input(request, text, tokens)

    def parse(response: Any) -> scores.Classification:
        return scores.Classification(
            response.model_version,
            tuple(
                scores.LabelScore(each.label, each.probability, each.logit)
                for each in response.labels
            ),
            response.grade if response.HasField("grade") else None,
        )

    return Call("scoring", "ClassifyText", request, parse, small=False, timeout=timeout)


def _fill_input(request: Any, text: str | None, tokens: Sequence[int] | None) -> None:
    if (text is None) == (tokens is None):
        raise TypeError("give exactly one of text and tokens")
    if text is not None:
        request.text.text = text
    else:
        request.tokens.ids.extend(tokens or ())


def _fill(message: Any, given: Input, *, parse_special: bool) -> None:
    """Set the text or the tokens of a message."""
    if isinstance(given, str):
        message.text.text, message.text.parse_special = given, parse_special
    else:
        message.tokens.ids.extend(given)
