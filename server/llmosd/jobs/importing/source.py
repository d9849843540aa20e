"""What a reader of one format hands to the converter."""

import re
from typing import NamedTuple

from llmosd.architectures.config import ModelConfig
from llmosd.errors import InvalidModelFile
from llmosd.jobs.importing.weights import Weight
from llmosd.store.manifest import GenerationDefaults

_MAX_TEMPLATE = 256 * 1024
_SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+ ()-]{0,255}")


class Source(NamedTuple):
    """A model in our own words. `tokenizer` is tokenizer.json; `license` is "" where unknown.

    `adapter` is adapter_config.json, where the weights are those of an adapter.
    """

    config: ModelConfig
    weights: dict[str, Weight]
    tokenizer: str
    generation: GenerationDefaults
    chat_template: str | None
    license: str
    adapter: dict[str, object] | None = None


def checked_template(template: object) -> str | None:
    """A chat template of a bearable size; raises InvalidModelFile."""
    if template is None or template == "":
        return None
    if not isinstance(template, str):
        raise InvalidModelFile("the chat template is not a text")
    if len(template) > _MAX_TEMPLATE:
        raise InvalidModelFile(f"the chat template is longer than {_MAX_TEMPLATE} characters")
    return template


def checked_license(text: object) -> str:
    """An SPDX identifier as a file says it, or "" where it says something else."""
    return text if isinstance(text, str) and _SPDX.fullmatch(text) else ""
