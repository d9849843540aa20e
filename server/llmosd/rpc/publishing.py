"""A finished version folder becomes a version: moved to its place, put into the catalog, served."""

import asyncio
from pathlib import Path

from llmosd.errors import DataCorrupt, ModelNotFound
from llmosd.store.catalog import Catalog
from llmosd.store.files import copy_durably, read_regular
from llmosd.store.folders import MAX_JSON
from llmosd.store.manifest import MANIFEST, Manifest, decode_manifest, digest_of
from llmosd.store.names import LIVE, ModelRef
from llmosd.store.records import VersionRecord
from llmosd.store.versions import Staging, VersionStore
from llmosd.supervisor.pool import ModelPool
from llmosd.supervisor.resident import Resident

CANDIDATE = "candidate"
"""The alias of what a job made of a model that was there before."""


class Publisher:
    """Makes versions."""

    def __init__(self, catalog: Catalog, store: VersionStore, pool: ModelPool) -> None:
        self._catalog = catalog
        self._store = store
        self._pool = pool

    def publish(
        self,
        model_id: str,
        manifest: Manifest,
        digest: str,
        byte_size: int,
        staging: Staging,
        alias: str = LIVE,
    ) -> VersionRecord:
        """Publish what `staging.version` holds; `alias` means it from here on."""
        number = self._catalog.next_version(model_id)
        record = _record(model_id, number, manifest, digest, byte_size)
        self._store.publish(model_id, record.version, staging)
        served = self._served(model_id, alias)
        self._catalog.add_version(record, alias)
        if served is not None:
            # The alias means the new version from here on: it must answer, as the old one did.
            self._pool.want(record, served.keep_alive, served.dtype)
            remember(self._catalog, self._pool, record)
        return record

    async def publish_candidate(self, model_id: str, digest: str, folder: Path) -> VersionRecord:
        """Publish a copy of a job's result; the model's "candidate", and live if it is new.

        `digest` is its manifest's. May be called again for the same result, after a crash: it then
        finds what it made. Raises DataCorrupt where the folder is not what the job left.
        """
        for record in self._versions(model_id):
            if record.digest == digest:
                return record
        data = read_regular(folder, MANIFEST, MAX_JSON)
        if digest_of(data) != digest:
            raise DataCorrupt("the job's result was changed after the job had ended")
        manifest = decode_manifest(data)
        staging = self._store.stage()
        try:
            # Gigabytes, perhaps: streams go on meanwhile.
            await asyncio.to_thread(_copy, folder, [*manifest.files, MANIFEST], staging.version)
            size = len(data) + sum(entry.bytes for entry in manifest.files.values())
            number = self._catalog.next_version(model_id)
            record = _record(model_id, number, manifest, digest, size)
            known = bool(self._versions(model_id))
            self._store.publish(model_id, number, staging)
        except BaseException:
            self._store.discard(staging)
            raise
        self._catalog.add_version(record, CANDIDATE if known else LIVE)
        return record

    def _versions(self, model_id: str) -> list[VersionRecord]:
        try:
            return self._catalog.versions(model_id, 1_000_000)
        except ModelNotFound:
            return []

    def _served(self, model_id: str, alias: str) -> Resident | None:
        """The residency of an alias's version, if it is to be served."""
        try:
            return self._pool.resident(self._catalog.resolve(ModelRef(model_id, None, alias)))
        except ModelNotFound:
            return None


def remember(
    catalog: Catalog, pool: ModelPool, record: VersionRecord, *, pinned: bool = False
) -> None:
    """Keep for the next daemon that a version is wanted, and how; `pinned`: by its number."""
    resident = pool.resident(record)
    if resident is not None:
        where = (record.model_id, record.version)
        catalog.set_wanted(*where, True, resident.keep_alive, resident.dtype, pinned=pinned)


def _copy(folder: Path, names: list[str], target: Path) -> None:
    for name in names:
        copy_durably(folder / name, target / name)


def _record(
    model_id: str, number: int, manifest: Manifest, digest: str, byte_size: int
) -> VersionRecord:
    return VersionRecord(
        model_id=model_id,
        version=number,
        create_time=manifest.create_time,
        architecture=manifest.architecture,
        family=manifest.family,
        parameter_count=manifest.parameter_count,
        context_length=manifest.context_length,
        vocabulary_size=manifest.vocabulary_size,
        dtype=manifest.dtype,
        byte_size=byte_size,
        digest=digest,
        license=manifest.license,
        source=manifest.source,
        chat=manifest.chat,
    )
