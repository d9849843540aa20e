"""The options of `run` and `chat` that say how tokens are drawn."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

# Name in the SDK, type, help. `chat` sets the same names with /set.
PARAMETERS: dict[str, tuple[type, str]] = {
    "temperature": (float, "0 is greedy."),
    "top_k": (int, "Keep the k most likely tokens."),
    "top_p": (float, "Keep the most likely tokens up to this probability."),
    "min_p": (float, "Drop tokens less likely than this times the likeliest."),
    "seed": (int, "Same seed, same request, same tokens."),
    "max_tokens": (int, "Tokens per answer at most."),
    "repetition_penalty": (float, "Above 1: repeat less."),
    "presence_penalty": (float, "Subtracted from tokens already in the answer."),
    "frequency_penalty": (float, "Subtracted per occurrence in the answer."),
    "beams": (int, "Beam search: follow the likeliest beginnings, this many at once."),
    "length_penalty": (float, "Of beam search: 0 prefers short answers, above 1 long ones."),
}


def sampling_options(function: F) -> F:
    """Add the options; what is not given is the model's default."""
    stop = click.option("--stop", multiple=True, help="Text that ends the answer; repeatable.")
    decorated: Any = stop(function)
    for name, (kind, text) in reversed(PARAMETERS.items()):
        option = f"--{name.replace('_', '-')}"
        decorated = click.option(option, name, type=kind, help=text)(decorated)
    result: F = decorated
    return result


def form_options(function: F) -> F:
    """Add the options that give the answer its form."""
    choice = click.option("--choice", "choices", multiple=True, help="Answer one of these texts.")
    decorated: Any = choice(function)
    for option, text in reversed(_FORMS.items()):
        add = click.option(option, metavar="TEXT|@FILE", callback=_text_or_file, help=text)
        decorated = add(decorated)
    result: F = decorated
    return result


_FORMS = {
    "--json-schema": "Answer JSON that keeps this schema.",
    "--regex": "Answer what matches this regular expression, whole.",
    "--grammar": "Answer a sentence of this Lark grammar.",
}


def _text_or_file(_context: click.Context, _option: click.Parameter, value: str | None) -> Any:
    if value is None or not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(str(error)) from None


def given(values: dict[str, Any]) -> dict[str, Any]:
    """Leave out what was not given."""
    return {name: value for name, value in values.items() if value not in (None, ())}


def read_parameter(name: str, text: str) -> Any:
    """Read a parameter's value as `chat` takes it; raise ValueError saying what is wrong."""
    key = name.replace("-", "_")
    if key == "stop":
        return [text]
    if key not in PARAMETERS:
        raise ValueError(f"no parameter {name}; there are: {', '.join([*PARAMETERS, 'stop'])}")
    kind = PARAMETERS[key][0]
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{name} takes a number, not {text!r}") from None
