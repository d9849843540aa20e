"""Names for models that were not given one."""

import re

from llmos_client.errors import InvalidFieldError

_MODEL_ID = re.compile(r"^[a-z0-9][a-z0-9._-]{0,63}$")


def derive_model_id(text: str) -> str:
    """Make a model's ID of a file's, a folder's or a repository's name."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", text.lower().removesuffix(".gguf"))
    return plain.lstrip("._-")[:64].rstrip("._-") or "model"


def check_model_id(text: str) -> str:
    """Return a model's ID, or say what is wrong with it."""
    if not _MODEL_ID.match(text):
        raise InvalidFieldError(
            f'"{text}" cannot name a model: small letters, digits, dot, dash and underscore,'
            " at most 64, beginning with a letter or digit",
            code="INVALID_ARGUMENT",
        )
    return text
