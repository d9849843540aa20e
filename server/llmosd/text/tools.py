"""Function calls as text: how a model is told of functions, writes calls, and how they are read.

Two spellings are known, by what a chat template contains: that of Hermes and Qwen (also the one for
templates that know no tools; the prompt is theirs), and the bare JSON of Llama 3.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

Tool = dict[str, Any]
_NO_ARGUMENTS = {"type": "object", "properties": {}, "additionalProperties": False}
# As grammar.py writes JSON, so that a call reads like any other constrained answer.
_JSON_FORM = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """What stands before a call, after it, and what its arguments are called in between."""

    begin: str
    end: str
    arguments: str


HERMES = ToolFormat("<tool_call>", "</tool_call>", "arguments")
LLAMA = ToolFormat("", "", "parameters")


def native_format(template: str) -> ToolFormat | None:
    """The format a template teaches; None where it must be told what to say."""
    if not re.search(r"\btools\b", template):
        return None
    if HERMES.begin in template:
        return HERMES
    return LLAMA if re.search(r"\bparameters\b", template) else None


def without_tools(messages: list[dict[str, Any]], tools: list[Tool] | None) -> list[dict[str, Any]]:
    """The same conversation for a template that knows roles and content only."""
    plain = [_plain(message) for message in messages]
    if not tools:
        return plain
    lines = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
    told = _PROMPT.format(tools=lines)
    if plain and plain[0]["role"] == "system":
        first = {**plain[0], "content": f"{plain[0]['content']}\n\n{told}"}
        return [first, *plain[1:]]
    return [{"role": "system", "content": told}, *plain]


# The wording of Qwen2.5's template, after Nous Research's Hermes function calling standard.
_PROMPT = """# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{tools}
</tools>

For each function call, return a json object with function name and arguments within \
<tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""


def _plain(message: dict[str, Any]) -> dict[str, Any]:
    if message["role"] == "tool":
        content = f"<tool_response>\n{message['content']}\n</tool_response>"
        return {"role": "user", "content": content}
    calls = [
        f"{HERMES.begin}\n{json.dumps(call['function'], ensure_ascii=False)}\n{HERMES.end}"
        for call in message.get("tool_calls", [])
    ]
    content = "\n".join(filter(None, [message["content"], *calls]))
    return {"role": message["role"], "content": content}


def call_grammar(tools: Sequence[Tool], form: ToolFormat, *, required: bool, parallel: bool) -> str:
    """A grammar, in llguidance's Lark, of answers whose calls are calls of `tools`.

    Outside of calls any text may stand, unless a call is `required`.
    """
    rules = [f"tool_{at}: {_call(tool, form)}" for at, tool in enumerate(tools)]
    options = " | ".join(f"tool_{at}" for at in range(len(tools)))
    before, after = (form.begin + "\n", "\n" + form.end) if form.begin else ("", "")
    body = f"{_quoted(before)} ({options}) {_quoted(after)}"
    if required and form.begin and parallel:
        start = ['start: call ("\\n" call)*', f"call: {body}"]
    elif required:
        start = [f"start: {body}"]
    elif form.begin:
        loop = "start: (trigger rest)* TEXT" if parallel else "start: TEXT | trigger rest"
        rest = f"{_quoted(chr(10))} ({options}) {_quoted(after)}"
        start = [
            loop, f"trigger[lazy]: TEXT {_quoted(form.begin)}", f"rest: {rest}", _ANY_TEXT
        ]  # fmt: skip
    else:
        start = [f"start: TEXT | {options}", "TEXT: /([^{](.|\\n)*)?/"]
    return "\n".join(["%llguidance {}", *start, *rules])


_ANY_TEXT = "TEXT: /(.|\\n)*/"


def _call(tool: Tool, form: ToolFormat) -> str:
    """`{"name": NAME, "arguments": ` the tool's own schema `}`; each schema is a document."""
    function = tool["function"]
    schema = function["parameters"] or _NO_ARGUMENTS
    begin = f'{{"name": {json.dumps(function["name"])}, "{form.arguments}": '
    arguments = json.dumps({**schema, "x-guidance": _JSON_FORM})
    return f"{_quoted(begin)} %json {arguments} {_quoted('}')}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if text else ""


class Call(NamedTuple):
    """A call of a function; `arguments` is the JSON text as the model wrote it."""

    name: str
    arguments: str


class ToolCallReader:
    """Takes an answer's text as it comes and tells calls from text, however it is cut."""

    def __init__(self, form: ToolFormat) -> None:
        self._form = form
        self._held = ""
        self._inside = False
        self._begun = False

    def add(self, text: str) -> tuple[str, list[Call]]:
        """Text that is text for sure, and the calls that are complete."""
        self._held += text
        shown: list[str] = []
        calls: list[Call] = []
        while True:
            if not self._inside:
                shown.append(self._outside())
            if not self._inside:
                break
            call = self._complete()
            if call is None:
                break
            calls.append(call)
            self._inside = False
        return "".join(shown), calls

    def flush(self) -> str:
        """What is left at the end: text, or a call that was cut off, as it stands."""
        rest = self._form.begin + self._held if self._inside else self._held
        self._held, self._inside = "", False
        return rest

    def _outside(self) -> str:
        """Text up to where a call begins, or may begin."""
        form, held = self._form, self._held
        if not form.begin:
            return self._outside_bare()
        at = held.find(form.begin)
        if at >= 0:
            self._inside, self._held = True, held[at + len(form.begin) :]
            return held[:at]
        sizes = range(min(len(form.begin) - 1, len(held)), 0, -1)
        keep = next((size for size in sizes if held.endswith(form.begin[:size])), 0)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep]

    def _outside_bare(self) -> str:
        """Without a mark, an answer that begins with a brace is a call."""
        if not self._begun and self._held:
            self._begun = True
            self._inside = self._held.startswith("{")
        if self._inside:
            return ""
        shown, self._held = self._held, ""
        return shown

    def _complete(self) -> Call | None:
        """The call that the held text begins with, once it is whole."""
        end, at = self._form.end, 0
        if not end:
            call = self._parse(self._held)
            self._held = "" if call else self._held
            return call
        # Its arguments may hold the mark themselves: what parses is what was meant.
        while (at := self._held.find(end, at)) >= 0:
            call = self._parse(self._held[:at])
            at += len(end)
            if call is not None:
                self._held = self._held[at:]
                return call
        return None

    def _parse(self, text: str) -> Call | None:
        try:
            parsed = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
            name = msgspec.json.decode(parsed["name"], type=str)
            return Call(name, bytes(parsed[self._form.arguments]).decode())
        except (msgspec.MsgspecError, KeyError, UnicodeDecodeError):
            return None
