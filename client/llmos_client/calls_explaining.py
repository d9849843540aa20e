"""The call that explains an answer; see `calls`."""

from collections.abc import Sequence
from typing import Any

from llmos.v1 import scoring_service_pb2 as pb
from llmos_client import explanations, parsing_generations, requests
from llmos_client.calls import Call
from llmos_client.options import MessageLike

_BASELINE: Any = pb.ExplainGenerationRequest.Baseline


def explain_request(
    model: str,
    prompt: str | None,
    messages: Sequence[MessageLike] | None,
    tokens: Sequence[int] | None,
    answer: str | Sequence[int] | None,
    **options: Any,
) -> pb.ExplainGenerationRequest:
    """Build an ExplainGenerationRequest; exactly one of prompt, messages and tokens is given."""
    if sum(given is not None for given in (prompt, messages, tokens)) != 1:
        raise TypeError("give exactly one of prompt, messages and tokens")
    baseline = options.pop("baseline")
    request = pb.ExplainGenerationRequest(model=model, **options)
    if prompt is not None:
        request.text.text = prompt
    elif messages is not None:
        request.chat.CopyFrom(requests.chat_input(messages))
    else:
        request.tokens.ids.extend(tokens or ())
    if isinstance(answer, str):
        request.answer_text.text = answer
    elif answer is not None:
        request.answer_tokens.ids.extend(answer)
    if baseline is not None:
        request.baseline = requests.enum_value(_BASELINE, "BASELINE_", baseline)
    return request


def explain(
    request: pb.ExplainGenerationRequest, timeout: float | None
) -> Call[explanations.Explanation]:
    """Call ExplainGeneration."""

    def parse(response: Any) -> explanations.Explanation:
        return explanations.Explanation(
            response.model_version,
            tuple(
                explanations.TokenAttribution(each.id, each.bytes, each.attribution)
                for each in response.prompt
            ),
            parsing_generations.tokens(response.answer),
            _fields(explanations.Integration, response.integration),
            tuple(_fields(explanations.Ancestor, each) for each in response.lineage),
        )

    return Call("scoring", "ExplainGeneration", request, parse, small=False, timeout=timeout)


def _fields(kind: Any, proto: Any) -> Any:
    return kind(**{name: getattr(proto, name) for name in kind.__dataclass_fields__})
