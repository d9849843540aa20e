"""What a model thinks of texts: each call as a value, as in `calls`."""

from collections.abc import Sequence
from typing import Any

from llmos.v1 import scoring_service_pb2 as pb
from llmos_client import parsing_generations, requests, results
from llmos_client.calls import Call


def score(
    model: str,
    text: str | None,
    tokens: Sequence[int] | None,
    priority: str | None,
    timeout: float | None,
) -> Call[results.Score]:
    """Call ScoreText."""
    request = pb.ScoreTextRequest(model=model, priority=requests.priority_value(priority))
    _fill_input(request, text, tokens)

    def parse(response: Any) -> results.Score:
        return results.Score(
            response.model_version,
            parsing_generations.tokens(response.tokens),
            response.logprob,
            response.perplexity,
        )

    return Call("scoring", "ScoreText", request, parse, small=False, timeout=timeout)


def classify(
    model: str,
    text: str | None,
    tokens: Sequence[int] | None,
    priority: str | None,
    timeout: float | None,
) -> Call[results.Classification]:
    """Call ClassifyText."""
    request = pb.ClassifyTextRequest(model=model, priority=requests.priority_value(priority))
    _fill_input(request, text, tokens)

    def parse(response: Any) -> results.Classification:
        return results.Classification(
            response.model_version,
            tuple(
                results.LabelScore(each.label, each.probability, each.logit)
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
