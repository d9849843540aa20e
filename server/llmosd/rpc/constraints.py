"""The form a request asks of its answer: a constraint of its own, or the calls of its tools."""

import json
from typing import Any

from llmos.v1 import chat_pb2, generation_service_pb2
from llmosd.errors import InvalidField
from llmosd.ipc.messages import Constraint
from llmosd.rpc import convert_chat
from llmosd.text.tools import ToolFormat, call_grammar

_MODES = chat_pb2.ToolChoice


def constraint(
    request: generation_service_pb2.GenerateRequest, form: ToolFormat
) -> Constraint | None:
    """What the engine holds the answer to; None where anything goes.

    Raises:
        InvalidField: both a constraint and tools; a schema or a choice that makes no sense.
    """
    tools = wanted_tools(request)
    if request.HasField("constraint"):
        if tools:
            raise InvalidField.of("constraint", "tools have a form of their own; leave one out")
        return _own(request.constraint)
    if not tools:
        return None
    choice = request.chat.tool_choice
    required = bool(choice.name) or choice.mode == _MODES.MODE_REQUIRED
    if choice.name:
        tools = [tool for tool in tools if tool["function"]["name"] == choice.name]
        if not tools:
            raise InvalidField.of("chat.tool_choice.name", "is the name of none of the tools")
    text = call_grammar(tools, form, required=required, parallel=choice.parallel)
    return Constraint("chat.tools", "lark", text)


def wanted_tools(request: Any) -> list[dict[str, Any]]:
    """The tools that may be called."""
    if request.WhichOneof("input") != "chat":
        return []
    return convert_chat.chat(request.chat)[1] or []


def _own(given: Any) -> Constraint:
    kind = given.WhichOneof("kind")
    field = f"constraint.{kind}"
    if kind == "json_schema":
        convert_chat.json_object(field, given.json_schema)
        return Constraint(field, kind, given.json_schema)
    if kind == "choice":
        texts = (json.dumps(text, ensure_ascii=False) for text in given.choice.texts)
        return Constraint(field, "lark", f"start: {' | '.join(texts)}")
    return Constraint(field, "lark" if kind == "grammar" else kind, getattr(given, kind))
