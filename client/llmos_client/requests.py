"""From keyword arguments to protos: what Client and AsyncClient share on the way out."""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Unpack

from llmos.v1 import (
    admin_service_pb2,
    chat_pb2,
    generation_service_pb2,
    model_service_pb2,
    priority_pb2,
    sampling_pb2,
)
from llmos_client.generations import ToolCall
from llmos_client.options import GenerateOptions, Message, MessageLike, check_names

_SAMPLING = (
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "n",
    "beams",
    "length_penalty",
)


def generate_request(
    model: str, prompt: str | None = None, **options: Unpack[GenerateOptions]
) -> generation_service_pb2.GenerateRequest:
    """Build a GenerateRequest; exactly one of prompt, messages and tokens is the input.

    Raises TypeError for an option that there is not.
    """
    check_names(options, GenerateOptions)
    request = generation_service_pb2.GenerateRequest(model=model)
    messages, tokens = options.get("messages"), options.get("tokens")
    if sum(given is not None for given in (prompt, messages, tokens)) != 1:
        raise TypeError("give exactly one of prompt, messages and tokens")
    if prompt is not None:
        request.text.CopyFrom(_text(prompt, parse_special=options.get("parse_special", False)))
    elif messages is not None:
        request.chat.CopyFrom(chat_input(messages, options.get("tools", ())))
        choice, parallel = options.get("tool_choice", ""), options.get("parallel_tool_calls", False)
        if choice or parallel:
            request.chat.tool_choice.CopyFrom(_tool_choice(choice, parallel=parallel))
    else:
        request.tokens.ids.extend(tokens or ())
    request.priority = priority_value(options.get("priority"))
    _fill_constraint(request, options)
    _fill_parameters(request, options)
    return request


def count_request(
    model: str,
    prompt: str | None = None,
    *,
    messages: Sequence[MessageLike] | None = None,
    tools: Sequence[Mapping[str, Any]] = (),
    parse_special: bool = False,
) -> generation_service_pb2.CountTokensRequest:
    """Build a CountTokensRequest from a prompt or messages."""
    if (prompt is None) == (messages is None):
        raise TypeError("give exactly one of prompt and messages")
    request = generation_service_pb2.CountTokensRequest(model=model)
    if messages is not None:
        request.chat.CopyFrom(chat_input(messages, tools))
    else:
        request.text.CopyFrom(_text(prompt or "", parse_special=parse_special))
    return request


def chat_input(
    messages: Sequence[MessageLike], tools: Sequence[Mapping[str, Any]] = ()
) -> chat_pb2.ChatInput:
    """Build a conversation from messages and the functions offered to the model."""
    return chat_pb2.ChatInput(
        messages=[chat_message(message) for message in messages],
        tools=[_tool(tool) for tool in tools],
    )


def chat_message(message: MessageLike) -> chat_pb2.ChatMessage:
    """Build one turn."""
    if isinstance(message, Mapping):
        message = Message(**message)
    return chat_pb2.ChatMessage(
        role=enum_value(chat_pb2.ChatMessage.Role, "ROLE_", message.role),
        content=message.content,
        tool_calls=[_tool_call(call) for call in message.tool_calls],
        tool_call_id=message.tool_call_id,
    )


def converse_start(
    generation_id: str, request: generation_service_pb2.GenerateRequest
) -> generation_service_pb2.ConverseRequest:
    """Build the action that starts a generation."""
    return generation_service_pb2.ConverseRequest(generation_id=generation_id, start=request)


def converse_append(
    generation_id: str, messages: Sequence[MessageLike]
) -> generation_service_pb2.ConverseRequest:
    """Build the action that goes on after an answered turn."""
    append = generation_service_pb2.ConverseAppend(messages=[chat_message(m) for m in messages])
    return generation_service_pb2.ConverseRequest(generation_id=generation_id, append=append)


def converse_cancel(generation_id: str) -> generation_service_pb2.ConverseRequest:
    """Build the action that ends a generation."""
    cancel = generation_service_pb2.ConverseCancel()
    return generation_service_pb2.ConverseRequest(generation_id=generation_id, cancel=cancel)


def load_request(
    name: str,
    *,
    keep_alive: float | None = None,
    dtype: str | None = None,
    request_id: str = "",
    validate_only: bool = False,
) -> model_service_pb2.LoadModelRequest:
    """Build a LoadModelRequest; keep_alive in seconds, negative: never unload."""
    request = model_service_pb2.LoadModelRequest(
        name=name, request_id=request_id, validate_only=validate_only
    )
    if keep_alive is not None:
        request.keep_alive.FromTimedelta(timedelta(seconds=keep_alive))
    if dtype is not None:
        request.dtype = enum_value(model_service_pb2.ComputeDtype, "COMPUTE_DTYPE_", dtype)
    return request


def watch_load_request(interval: float) -> admin_service_pb2.WatchLoadRequest:
    """Build a WatchLoadRequest; `interval` in seconds."""
    request = admin_service_pb2.WatchLoadRequest()
    request.interval.FromTimedelta(timedelta(seconds=interval))
    return request


def priority_value(name: str | None) -> Any:
    """Find a class of work by its name; None leaves it to the daemon."""
    return enum_value(priority_pb2.Priority, "PRIORITY_", name) if name else 0


def enum_value(enum: Any, prefix: str, name: str) -> Any:
    """Find an enum's value by its short lower-case name."""
    known = {k.removeprefix(prefix).lower(): value for k, value in enum.items() if value != 0}
    if name not in known:
        raise ValueError(f'"{name}" is not one of {", ".join(known)}')
    return known[name]


def _text(text: str, *, parse_special: bool) -> generation_service_pb2.TextInput:
    return generation_service_pb2.TextInput(text=text, parse_special=parse_special)


def _tool(tool: Mapping[str, Any]) -> chat_pb2.Tool:
    schema = tool.get("parameters") or ""
    return chat_pb2.Tool(
        name=tool["name"],
        description=tool.get("description", ""),
        parameters_json_schema=schema if isinstance(schema, str) else json.dumps(schema),
    )


def _tool_choice(choice: str, *, parallel: bool) -> chat_pb2.ToolChoice:
    modes = chat_pb2.ToolChoice.Mode
    if f"MODE_{choice.upper()}" in dict(modes.items()) and choice == choice.lower():
        return chat_pb2.ToolChoice(mode=enum_value(modes, "MODE_", choice), parallel=parallel)
    return chat_pb2.ToolChoice(name=choice, parallel=parallel)


def _fill_constraint(
    request: generation_service_pb2.GenerateRequest, options: GenerateOptions
) -> None:
    names = ("json_schema", "regex", "grammar", "choices")
    every: dict[str, Any] = {name: options.get(name) for name in names}
    given = {name: value for name, value in every.items() if value not in (None, ())}
    if len(given) > 1:
        raise TypeError(f"give one of {' and '.join(given)}")
    for name, value in given.items():
        if name == "choices":
            request.constraint.choice.texts.extend(value)
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            setattr(request.constraint, name, text)


def _tool_call(call: ToolCall | Mapping[str, str]) -> chat_pb2.ToolCall:
    if not isinstance(call, ToolCall):
        call = ToolCall(call.get("id", ""), call["name"], call["arguments"])
    return chat_pb2.ToolCall(id=call.id, name=call.name, arguments_json=call.arguments)


def _fill_parameters(
    request: generation_service_pb2.GenerateRequest, options: GenerateOptions
) -> None:
    given: dict[str, Any] = {k: v for k, v in options.items() if v is not None}
    request.sampling.CopyFrom(
        sampling_pb2.SamplingParameters(
            **{key: given[key] for key in _SAMPLING if key in given},
            logit_bias=given.get("logit_bias", {}),
        )
    )
    request.stopping.CopyFrom(
        sampling_pb2.StoppingParameters(
            max_tokens=given.get("max_tokens"),
            min_tokens=given.get("min_tokens"),
            stop=given.get("stop", ()),
            stop_token_ids=given.get("stop_token_ids", ()),
            ignore_eos=given.get("ignore_eos"),
        )
    )
    request.output.CopyFrom(
        sampling_pb2.OutputParameters(
            logprobs=given.get("logprobs"), tokens=given.get("return_tokens")
        )
    )
