"""The suites that come with the daemon: rows to evaluate by, as files beside the code.

suites/suites.json lists them; suites/ID.jsonl holds a suite's rows, which are of a dataset's kind.
"""

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import msgspec

from llmosd.errors import InvalidField
from llmosd.store.datasets import DatasetKind

_FOLDER = files("llmosd") / "suites"


class Suite(msgspec.Struct, frozen=True, kw_only=True):
    """A suite: `description` says what its figures tell."""

    id: str
    kind: DatasetKind
    description: str

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows, in order."""
        for line in (_FOLDER / f"{self.id}.jsonl").read_bytes().splitlines():
            yield msgspec.json.decode(line)


def suites() -> list[Suite]:
    """All of them."""
    return msgspec.json.decode((_FOLDER / "suites.json").read_bytes(), type=list[Suite])


def read_suite(identifier: str, field: str = "suite") -> Suite:
    """One of them; raises InvalidField, naming `field` and all there are."""
    known = {each.id: each for each in suites()}
    if identifier not in known:
        raise InvalidField.of(field, f"there is no such suite; there are {', '.join(known)}")
    return known[identifier]
