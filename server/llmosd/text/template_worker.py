"""The template worker: `python -m llmosd.text.template_worker FD`.

The environment is the one transformers gives its templates: trimmed blocks, loop controls,
`raise_exception`, `strftime_now`, and a `tojson` that leaves HTML characters alone.
"""

import functools
import json
import resource
import sys
from datetime import datetime
from socket import socket
from typing import Any, NoReturn

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from llmosd.errors import ChatTemplateFailed
from llmosd.ipc import Channel, ChannelClosed, Failure, die_with_parent
from llmosd.text.template_messages import Render, Rendered

_MEMORY = 512 * 1024 * 1024
_LONGEST = 4 * 1024 * 1024
# A text of the caller that is this long is not repeated in an error.
_QUOTED = 8
_LONGEST_ERROR = 200


def main() -> None:
    """Render until the front goes away."""
    die_with_parent()
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
    channel = Channel(socket(fileno=int(sys.argv[1])), Render)
    try:
        channel.send(Rendered(""))
        while True:
            channel.send(_answer(channel.receive()))
    except ChannelClosed:
        return


def _answer(request: Render) -> Rendered | Failure:
    try:
        text = _compiled(request.template).render(
            messages=request.messages,
            tools=request.tools,
            documents=None,
            bos_token=request.bos_token,
            eos_token=request.eos_token,
            add_generation_prompt=request.add_generation_prompt,
        )
    except jinja2.TemplateError as error:
        return _refusal(error, request)
    except (MemoryError, RecursionError):
        return Failure.of(ChatTemplateFailed("the chat template used up its memory"))
    except Exception as error:  # noqa: BLE001 - a stranger's program may raise anything
        return _refusal(error, request)
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return Failure.of(ChatTemplateFailed("the chat template made half a character"))
    if size > _LONGEST:
        return Failure.of(ChatTemplateFailed("the chat template made more than 4 MiB of text"))
    return Rendered(text)


def _refusal(error: Exception, request: Render) -> Failure:
    """What the template or jinja2 says, unless it repeats the conversation."""
    text = str(error)
    contents = [str(message.get("content", "")) for message in request.messages]
    if any(len(content) >= _QUOTED and content in text for content in contents):
        text = ""
    text = "".join(char if char.isprintable() else " " for char in text[:_LONGEST_ERROR]).strip()
    message = f"the chat template refused: {text}" if text else "the chat template failed"
    return Failure.of(ChatTemplateFailed(message))


@functools.lru_cache(maxsize=16)
def _compiled(template: str) -> jinja2.Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment.from_string(template)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002 - transformers' signature
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(pattern: str) -> str:
    return datetime.now().astimezone().strftime(pattern)


if __name__ == "__main__":
    main()
