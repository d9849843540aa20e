"""Frames between the front and its template worker."""

from typing import Any

import msgspec

from llmosd.ipc.failure import Failure


class Render(msgspec.Struct, frozen=True, tag=True):
    """A template and what it may read."""

    template: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None
    bos_token: str
    eos_token: str
    add_generation_prompt: bool = True


class Rendered(msgspec.Struct, frozen=True, tag=True):
    """The rendered text; empty as the first frame, which says that the worker is up."""

    text: str


FromTemplateWorker = Rendered | Failure
