"""What a version has to pass before an alias moves to it."""

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from llmosd.errors import DatasetNotFound, GateRefused, ModelNotFound
from llmosd.rpc.licenses import restriction
from llmosd.store.aliases import Condition
from llmosd.store.catalog import Catalog
from llmosd.store.datasets import DatasetStore
from llmosd.store.names import DatasetRef, ModelRef
from llmosd.store.records import VersionRecord
from llmosd.store.versions import VersionStore

_RESOURCE = re.compile(r"(models|datasets)/[a-z0-9][a-z0-9._-]{0,63}/versions/[1-9][0-9]{0,8}")


class Asked(NamedTuple):
    """What the promotion is bound to: the alias's policy and the request's own conditions."""

    conditions: Sequence[Condition] = ()
    allow_restricted_license: bool = False


class Gate(Protocol):
    """One check."""

    loaded: bool
    """Whether it asks the version's engine, and so comes after it was loaded."""

    async def check(
        self, record: VersionRecord, against: VersionRecord | None, asked: Asked
    ) -> None:
        """Raise GateRefused where `record` may not take the place of `against` (None: nobody's)."""


class LicenseGate:
    """A license that restricts use, of a version or of what it was made from, has to be allowed."""

    loaded = False

    def __init__(self, catalog: Catalog, store: VersionStore, datasets: DatasetStore) -> None:
        self._catalog = catalog
        self._store = store
        self._datasets = datasets

    async def check(
        self, record: VersionRecord, against: VersionRecord | None, asked: Asked
    ) -> None:
        """See Gate."""
        del against
        if asked.allow_restricted_license:
            return
        for name, text in self._licenses(record).items():
            found = restriction(text)
            if found is not None:
                made = "" if name == record.name else f", which {record.name} was made from,"
                raise GateRefused.of(
                    "license",
                    f"{name}{made} has the license {text[:64]!a}: {found}; set "
                    "allow_restricted_license where your use is allowed",
                    resource=name,
                    license=text,
                )

    def _licenses(self, record: VersionRecord) -> dict[str, str]:
        """Of a version and everything it was made from that is still here, by resource name."""
        found: dict[str, str] = {}
        todo = [record.name]
        while todo:
            name = todo.pop()
            if name in found:
                continue
            try:
                found[name], sources = (
                    self._dataset(name) if name.startswith("datasets/") else self._version(name)
                )
            except (ModelNotFound, DatasetNotFound):  # removed: what it was nobody can say
                continue
            # The versions that were averaged are named within a method's text.
            todo += [match[0] for source in sources for match in _RESOURCE.finditer(source)]
        return found

    def _version(self, name: str) -> tuple[str, list[str]]:
        record = self._catalog.resolve(ModelRef.parse(name))
        manifest = self._store.manifest(record.model_id, record.version)
        # Bases, data to train on, to calibrate by: whatever has a license has a resource name.
        return record.license, [manifest.adapter_base, *manifest.lineage.values()]

    def _dataset(self, name: str) -> tuple[str, list[str]]:
        record = self._catalog.datasets.resolve(DatasetRef.parse(name))
        lineage = self._datasets.manifest(record.dataset_id, record.version).lineage
        return record.license, list(lineage.values())


class NoEvaluations:
    """Stands for the gate of evaluations where there is none: conditions cannot hold unseen."""

    loaded = False

    async def check(
        self, record: VersionRecord, against: VersionRecord | None, asked: Asked
    ) -> None:
        """See Gate."""
        del against
        if asked.conditions:
            raise GateRefused.of(
                "evaluation",
                f"nothing shows that {record.name} meets the condition on "
                f'"{asked.conditions[0].suite}": this daemon has no evaluations',
            )
