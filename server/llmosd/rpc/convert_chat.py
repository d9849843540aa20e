"""Conversations as chat templates expect them. Pure functions."""

import json
import math
import re
from typing import Any

from llmos.v1 import chat_pb2
from llmosd.errors import InvalidField

ROLES = {
    chat_pb2.ChatMessage.ROLE_SYSTEM: "system",
    chat_pb2.ChatMessage.ROLE_USER: "user",
    chat_pb2.ChatMessage.ROLE_ASSISTANT: "assistant",
    chat_pb2.ChatMessage.ROLE_TOOL: "tool",
}
_DEEPEST_JSON = 64
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def chat(given: chat_pb2.ChatInput) -> tuple[list[dict[str, Any]], list[dict[str, Any]] | None]:
    """A conversation: its messages, and the tools that may be called."""
    none = given.tool_choice.mode == chat_pb2.ToolChoice.MODE_NONE and not given.tool_choice.name
    return messages(given.messages), None if none else tools(given.tools)


def messages(items: Any) -> list[dict[str, Any]]:
    """ChatMessages as chat templates expect them."""
    return [_message(item) for item in items]


def _message(item: chat_pb2.ChatMessage) -> dict[str, Any]:
    message: dict[str, Any] = {"role": ROLES[item.role], "content": item.content}
    if item.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": json_object("tool_calls.arguments_json", call.arguments_json),
                },
            }
            for call in item.tool_calls
        ]
    if item.tool_call_id:
        message["tool_call_id"] = item.tool_call_id
    return message


def tools(items: Any) -> list[dict[str, Any]] | None:
    """Tools as chat templates expect them; None for none."""
    return [{"type": "function", "function": _function(item)} for item in items] or None


def _function(item: chat_pb2.Tool) -> dict[str, Any]:
    schema = json_object("tools.parameters_json_schema", item.parameters_json_schema)
    return {"name": item.name, "description": item.description, "parameters": schema}


def json_object(field: str, text: str) -> dict[str, Any]:
    """Parse a JSON object; raises InvalidField where `text` is none, or too much of one."""
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        raise InvalidField.of(field, "is not valid JSON") from None
    if not isinstance(value, dict):
        raise InvalidField.of(field, "must be a JSON object")
    if not _is_plain(value, _DEEPEST_JSON):
        raise InvalidField.of(
            field,
            f"holds a number past 64 bits, half a character, or more than {_DEEPEST_JSON} levels",
        )
    return value


def _is_plain(value: Any, depth: int) -> bool:
    """Whether a JSON value survives the way to the template worker."""
    if isinstance(value, dict):
        inside = [*value, *value.values()]
    elif isinstance(value, list):
        inside = value
    elif isinstance(value, str):
        return _SURROGATE.search(value) is None
    elif isinstance(value, float):
        return math.isfinite(value)
    else:
        return not isinstance(value, int) or -(2**63) <= value < 2**64
    return depth > 0 and all(_is_plain(item, depth - 1) for item in inside)
