"""Rows of datasets as prompts."""

from typing import Any

from llmos.v1 import generation_service_pb2 as pb


def question(row: dict[str, Any]) -> list[dict[str, Any]]:
    """A row as a conversation that wants an answer: a last answer that is there is left out."""
    if "messages" not in row:
        return [{"role": "user", "content": row.get("prompt") or row["text"]}]
    messages: list[dict[str, Any]] = row["messages"]
    return messages[:-1] if messages[-1]["role"] == "assistant" else messages


def ask(request: pb.GenerateRequest, row: dict[str, Any], system: str, *, chat: bool) -> None:
    """Put a row into a request, as a conversation where the model has a template for one."""
    if not chat:
        request.text.text = row.get("prompt") or row.get("text", "")
        return
    messages = question(row)
    if system:
        messages = [{"role": "system", "content": system}, *messages]
    for message in messages:
        request.chat.messages.add(
            role=f"ROLE_{message['role'].upper()}", content=message["content"]
        )
