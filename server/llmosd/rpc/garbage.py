"""What nobody needs any more: caches, what ended jobs left and, where that is asked, versions."""

import shutil
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import structlog

from llmosd.errors import DataCorrupt, UnsafeFile
from llmosd.operations.durable import DurableJobs
from llmosd.operations.manager import OperationManager
from llmosd.store.catalog import Catalog
from llmosd.store.disk import tree_bytes
from llmosd.store.manifest import WEIGHTS
from llmosd.store.names import version_name
from llmosd.store.records import VersionRecord, now
from llmosd.store.run_directory import CHECKPOINTS, OUT
from llmosd.store.versions import VersionStore
from llmosd.supervisor.pool import ModelPool

_log = structlog.get_logger()
_EVERY = 1_000_000


class Item(NamedTuple):
    """Something to remove: "packed", "tokens", "job" or "version", its name, and its bytes."""

    kind: str
    name: str
    byte_size: int
    remove: Callable[[], None]


class Garbage:
    """Finds it, and removes it."""

    def __init__(
        self,
        state: Path,
        catalog: Catalog,
        store: VersionStore,
        pool: ModelPool,
        jobs: DurableJobs,
        operations: OperationManager,
    ) -> None:
        self._state = state
        self._catalog = catalog
        self._store = store
        self._pool = pool
        self._jobs = jobs
        self._operations = operations

    def find(self, *, keep: int | None, older_than: float) -> list[Item]:
        """What can go: of ended jobs and versions only what is `older_than` seconds.

        Versions go only where `keep` says how many of each model, the newest, stay in any case.
        """
        before = now() - timedelta(seconds=older_than)
        found = [*self.caches()]
        for record in self._operations.ended_jobs():
            run = self._jobs.directory(record.operation_id)
            size = sum(tree_bytes(run.path / name) for name in (CHECKPOINTS, OUT))
            if size and record.end_time is not None and record.end_time <= before:
                found.append(Item("job", f"operations/{record.operation_id}", size, run.clear))
        if keep is not None:
            found += self._versions(keep, [r for r in self._all() if r.create_time <= before])
        return found

    def caches(self) -> Iterable[Item]:
        """Packed weights of versions that are gone, and tokens, where no job may read them."""
        keys = self._weights()
        for path in _folders(self._state / "packed"):
            if path.name.partition("-")[0] not in keys:
                yield _folder("packed", path)
        if not self._jobs.num_running:
            for path in _folders(self._state / "tokens"):
                yield _folder("tokens", path)

    def collect_caches(self) -> None:
        """Make room before something is refused."""
        for item in self.caches():
            item.remove()
            _log.info("collected", kind=item.kind, name=item.name, bytes=item.byte_size)

    def _versions(self, keep: int, old: list[VersionRecord]) -> list[Item]:
        needed = self._needed(keep)
        return [
            Item("version", each.name, each.byte_size, lambda each=each: self._delete(each))  # type: ignore[misc]
            for each in old
            if each.name not in needed
        ]

    def _needed(self, keep: int) -> set[str]:
        """Versions that an alias, a rollback, a job, a process, a pin or an adapter refers to."""
        needed = {each.record.name for each in self._pool.residents()}
        needed |= {version_name(each.model_id, each.version) for each in self._catalog.wanted()}
        needed |= self._jobs.reads()
        for model in self._catalog.models(_EVERY):
            needed |= {version_name(model.model_id, at) for at in model.aliases.values()}
            records = self._catalog.versions(model.model_id, _EVERY)
            needed |= {each.name for each in records[max(0, len(records) - keep) :]}
            needed |= self._rollbacks(model.model_id)
        for record in self._all():
            try:
                base = self._store.manifest(record.model_id, record.version).adapter_base
            except (DataCorrupt, UnsafeFile):  # nobody can load it, whatever it needs
                continue
            needed |= {base} if base else set()
        return needed

    def _rollbacks(self, model_id: str) -> set[str]:
        """What each alias would mean after a rollback: before the last move of it that stands."""
        found: dict[str, int | None] = {}
        for moved in self._catalog.aliases.page(model_id, _EVERY, None):
            if moved.rollback_time is None:
                found.setdefault(moved.alias, moved.previous)
        return {version_name(model_id, at) for at in found.values() if at is not None}

    def _delete(self, record: VersionRecord) -> None:
        # Since it was found somebody may have asked for it.
        if record.name in self._needed(0) or record.name in self._pool.pins:
            return
        self._catalog.delete_version(record.model_id, record.version)
        self._store.delete(record.model_id, record.version)

    def _weights(self) -> set[str]:
        """What names of packed weights begin with, of the versions that are there."""
        keys = set()
        for record in self._all():
            keys.add(record.digest.removeprefix("sha256:"))
            try:
                files = self._store.manifest(record.model_id, record.version).files
            except (DataCorrupt, UnsafeFile):
                continue
            if WEIGHTS in files:
                keys.add(files[WEIGHTS].sha256)
        return keys

    def _all(self) -> list[VersionRecord]:
        return self._catalog.versions(None, _EVERY)


def _folders(top: Path) -> list[Path]:
    return sorted(top.glob("[!.]*")) if top.is_dir() else []


def _folder(kind: str, path: Path) -> Item:
    return Item(kind, path.name, tree_bytes(path), lambda: shutil.rmtree(path, ignore_errors=True))
