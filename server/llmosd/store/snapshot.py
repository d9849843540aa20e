"""The state as it was at one moment, to be read while everything goes on.

Versions of models and datasets never change, so they are read where they are; what is deleted
meanwhile is kept until the snapshot is closed. The rest is copied: the catalog first, as of one
transaction, and then what jobs and evaluations have on disk, which is never behind the catalog.
"""

import asyncio
import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from llmosd.errors import DataCorrupt
from llmosd.store.catalog import Catalog
from llmosd.store.connection import copy_catalog
from llmosd.store.datasets import DatasetStore
from llmosd.store.files import open_folder, open_regular
from llmosd.store.folders import VersionFolders
from llmosd.store.manifest import MANIFEST
from llmosd.store.run_directory import CHECKPOINTS, LOCK, SPEC, portable
from llmosd.store.versions import VersionStore

_FOLDER = ".snapshots"


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """One file: where it belongs in the state directory, and what it holds.

    `open` opens it for reading, wherever it is by then; raises UnsafeFile, FileNotFoundError.
    """

    path: str
    byte_size: int
    digest: str
    open: Callable[[], int]


class Snapshots:
    """Makes snapshots of one state directory."""

    def __init__(
        self, state: Path, catalog: Catalog, models: VersionStore, datasets: DatasetStore
    ) -> None:
        """Remove what an earlier daemon left."""
        self._state = state
        self._catalog = catalog
        self._models, self._datasets = models, datasets
        # Held by whoever removes files that a job has left: not while they are being copied.
        self.copying = asyncio.Lock()
        shutil.rmtree(state / _FOLDER, ignore_errors=True)

    @contextlib.asynccontextmanager
    async def take(self) -> AsyncIterator[list[SnapshotFile]]:
        """The files of the state as it is now; they can be read inside the block."""
        scratch = self._state / _FOLDER / secrets.token_hex(8)
        scratch.mkdir(parents=True, mode=0o750)
        try:
            with self._models.held(), self._datasets.held():
                async with self.copying:
                    # Twice: what is deleted in between is in the first, what is new in the second.
                    await asyncio.to_thread(self._copy_evaluations, scratch)
                    pinned = self._catalog.pin()
                    # In the same turn of the event loop, before anybody deletes a version.
                    versions = [*self._version_places()]
                    try:
                        await asyncio.to_thread(copy_catalog, pinned, scratch / "catalog.db")
                    finally:
                        pinned.close()
                    await asyncio.to_thread(self._copy_rest, scratch)
                copied = await asyncio.to_thread(_listed, scratch)
                yield copied + await asyncio.to_thread(self._version_files, versions)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _copy_evaluations(self, scratch: Path) -> None:
        for folder in (self._state / "evaluations").glob("[!.]*"):
            target = scratch / "evaluations" / folder.name
            if not target.exists():
                with contextlib.suppress(FileNotFoundError):
                    shutil.copytree(folder, target)

    def _copy_rest(self, scratch: Path) -> None:
        self._copy_evaluations(scratch)
        for path in self._state.glob("audit*.jsonl"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(path, scratch / path.name)
        for run in (self._state / "operations").glob("[!.]*"):
            with contextlib.suppress(FileNotFoundError):  # ended, and deleted by somebody
                _copy_run(run, scratch / "operations" / run.name, self._state)

    def _version_places(self) -> Iterator[tuple[VersionFolders, str, int]]:
        for model in self._catalog.versions(None, 1_000_000):
            yield self._models, model.model_id, model.version
        for dataset in self._catalog.datasets.versions(None, 1_000_000):
            yield self._datasets, dataset.dataset_id, dataset.version

    def _version_files(self, versions: list[tuple[VersionFolders, str, int]]) -> list[SnapshotFile]:
        found = []
        for store, name, version in versions:
            try:
                found += _files_of(store, name, version)
            except (FileNotFoundError, DataCorrupt):  # moved away at this moment: look again
                found += _files_of(store, name, version)
        return found


def _files_of(store: VersionFolders, name: str, version: int) -> list[SnapshotFile]:
    top, parts = store.kept(name, version)
    path = f"{top.name}/{name}/{version}"
    files = store.files_of(top.joinpath(*parts))
    own = partial(_open_version, store, name, version, MANIFEST)
    found = [SnapshotFile(f"{path}/{MANIFEST}", *_digest(own()), own)]
    for file, entry in files.items():
        opener = partial(_open_version, store, name, version, file)
        found.append(SnapshotFile(f"{path}/{file}", entry.bytes, f"sha256:{entry.sha256}", opener))
    return found


def _open_version(store: VersionFolders, name: str, version: int, file: str) -> int:
    top, parts = store.kept(name, version)
    with open_folder(top, *parts) as folder:
        return open_regular(folder, file)


def _copy_run(run: Path, target: Path, state: Path) -> None:
    """A run directory. Its checkpoints are whole or have no DONE, which is copied last of all."""

    def ignored(folder: str, names: list[str]) -> set[str]:
        left = {name for name in names if name.startswith(".")}
        if Path(folder).parent.name == CHECKPOINTS and "DONE" not in names:
            left = set(names)
        return left

    def copy(source: str, to: str) -> None:
        with contextlib.suppress(FileNotFoundError):  # a checkpoint that an older one gave way to
            if CHECKPOINTS in Path(source).relative_to(run).parts:
                os.link(source, to, follow_symlinks=False)
            else:
                shutil.copyfile(source, to, follow_symlinks=False)

    shutil.copytree(run, target, ignore=ignored, copy_function=copy, symlinks=True)
    (target / LOCK).write_bytes(b"")
    (target / SPEC).write_bytes(portable((target / SPEC).read_bytes(), state))


def _listed(scratch: Path) -> list[SnapshotFile]:
    found: list[SnapshotFile] = []
    for path in sorted(scratch.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        # Not as those of versions: a checkpoint's file has two names, being linked.
        opener = partial(os.open, path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        place = path.relative_to(scratch).as_posix()
        found.append(SnapshotFile(place, *_digest(opener()), opener))
    return found


def _digest(descriptor: int) -> tuple[int, str]:
    """Size and digest of an open file, which is closed."""
    with os.fdopen(descriptor, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), f"sha256:{digest}"
