"""Names of models and datasets: what may be written, how ours are spelled. Never a path.

    models/ID      ID    …/versions/N    …@ALIAS
    datasets/ID    ID    …/versions/N

ID is `[a-z0-9][a-z0-9._-]{0,63}`, N a positive number, ALIAS `[a-z][a-z0-9-]{0,30}`: the same
grammar as the rules in model_service.proto and dataset_service.proto.
"""

import re
from typing import NamedTuple, Self

from llmosd.errors import InvalidField, PathNotAllowed

LIVE = "live"
"""The alias that a bare model name means."""

_ID = r"[a-z0-9][a-z0-9._-]{0,63}"
_MODEL_ID = re.compile(_ID)
_REFERENCE = re.compile(
    rf"(?:models/)?(?P<id>{_ID})"
    r"(?:/versions/(?P<version>[1-9][0-9]{0,8})|@(?P<alias>[a-z][a-z0-9-]{0,30}))?"
)
_DATASET = re.compile(rf"(?:datasets/)?(?P<id>{_ID})(?:/versions/(?P<version>[1-9][0-9]{{0,8}}))?")
_LOCATION = re.compile(r"[/~\\]|[A-Za-z][A-Za-z0-9+.-]*:")
_GRAMMAR = (
    "must be ID or models/ID, optionally with /versions/N or @ALIAS, "
    "where ID is [a-z0-9][a-z0-9._-]{0,63}"
)
_DATASET_GRAMMAR = (
    "must be ID or datasets/ID, optionally with /versions/N, where ID is [a-z0-9][a-z0-9._-]{0,63}"
)


class ModelRef(NamedTuple):
    """What a name points at; with neither version nor alias, the live version."""

    model_id: str
    version: int | None = None
    alias: str | None = None

    @classmethod
    def parse(cls, text: str, field: str = "model") -> Self:
        """Read a name.

        Raises PathNotAllowed for an absolute path or a URL, whatever it holds, and InvalidField,
        naming `field` and the grammar, for any other text that is no name.
        """
        match = _REFERENCE.fullmatch(text)
        if match is None:
            if _LOCATION.match(text):
                raise PathNotAllowed(f"{field}: a path or URL cannot name a model; use models/ID")
            raise InvalidField.of(field, _GRAMMAR)
        version = match["version"]
        return cls(match["id"], int(version) if version else None, match["alias"])

    def __str__(self) -> str:
        if self.version is not None:
            return version_name(self.model_id, self.version)
        if self.alias is not None:
            return f"{model_name(self.model_id)}@{self.alias}"
        return model_name(self.model_id)


class DatasetRef(NamedTuple):
    """What a dataset's name points at; without a version, the newest one."""

    dataset_id: str
    version: int | None = None

    @classmethod
    def parse(cls, text: str, field: str = "dataset") -> Self:
        """Read a name; raises as `ModelRef.parse` does."""
        match = _DATASET.fullmatch(text)
        if match is None:
            if _LOCATION.match(text):
                raise PathNotAllowed(
                    f"{field}: a path or URL cannot name a dataset; use datasets/ID"
                )
            raise InvalidField.of(field, _DATASET_GRAMMAR)
        return cls(match["id"], int(match["version"]) if match["version"] else None)

    def __str__(self) -> str:
        if self.version is not None:
            return dataset_version_name(self.dataset_id, self.version)
        return dataset_name(self.dataset_id)


def check_model_id(text: str, field: str = "model_id") -> str:
    """Return `text` if it is a bare ID; raises InvalidField otherwise."""
    if not _MODEL_ID.fullmatch(text):
        raise InvalidField.of(field, f"must match {_ID}")
    return text


def model_name(model_id: str) -> str:
    """Spell the resource name models/ID."""
    return f"models/{model_id}"


def version_name(model_id: str, version: int) -> str:
    """Spell the resource name models/ID/versions/N."""
    return f"models/{model_id}/versions/{version}"


def dataset_name(dataset_id: str) -> str:
    """Spell the resource name datasets/ID."""
    return f"datasets/{dataset_id}"


def dataset_version_name(dataset_id: str, version: int) -> str:
    """Spell the resource name datasets/ID/versions/N."""
    return f"datasets/{dataset_id}/versions/{version}"
