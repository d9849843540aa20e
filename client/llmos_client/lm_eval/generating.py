"""The harness's words for how to generate, as ours."""

from collections.abc import Mapping
from typing import Any

_LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_SAME = ("top_k", "top_p", "min_p", "repetition_penalty", "seed")


def options_of(given: Mapping[str, Any], max_tokens: int) -> dict[str, Any]:
    """Options of Client.generate; `max_tokens` where none is given.

    As in the harness, an answer is greedy unless `do_sample` or a temperature says otherwise.

    Raises:
        TypeError: for a word that means nothing here, by name.
    """
    left = dict(given)
    lengths = [left.pop(name) for name in _LENGTHS if left.get(name) is not None]
    until = left.pop("until", None) or []
    temperature = left.pop("temperature", None)
    sampled = left.pop("do_sample", None)
    if sampled is None:
        sampled = bool(temperature)
    options: dict[str, Any] = {
        "max_tokens": int(lengths[0] if lengths else max_tokens),
        "stop": [each for each in ([until] if isinstance(until, str) else until) if each],
        "temperature": float(1.0 if temperature is None else temperature) if sampled else 0.0,
    }
    options |= {name: left.pop(name) for name in _SAME if left.get(name) is not None}
    unknown = sorted(name for name, value in left.items() if value is not None)
    if unknown:
        raise TypeError(f"gen_kwargs: {', '.join(unknown)} is not known to the model llmos")
    return options
