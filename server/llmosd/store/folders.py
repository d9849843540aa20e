"""Folders of immutable versions: built aside, published by one rename.

    <state>/KIND/ID/N/            a published version; KIND is "models" or "datasets"
    <state>/KIND/.staging/NAME/   work in progress: incoming/ (uploaded files), version/ (result)

A leading dot is no ID, so the two cannot meet; both are on one file system, so a rename moves
between them.
"""

import contextlib
import os
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from llmosd.errors import DataCorrupt, UnsafeFile
from llmosd.store.disk import Disk
from llmosd.store.files import open_folder, open_regular, read_regular, sync_folder
from llmosd.store.manifest import MANIFEST, FileEntry
from llmosd.store.names import check_model_id

MAX_JSON = 64 * 1024 * 1024
_STAGING = ".staging"


class Staging(NamedTuple):
    """Folders of one piece of work; `version` becomes the version when published."""

    path: Path
    incoming: Path
    version: Path


class VersionFolders(ABC):
    """The folder `<root>/<noun>s`; `root` is the state directory. Subclasses know the files."""

    def __init__(self, root: Path, noun: str) -> None:
        """Create what is missing."""
        self.root = root
        self._noun = noun
        self._top = root / f"{noun}s"
        self._staging = self._top / _STAGING
        self.disk = Disk(root)
        self._holds = 0
        self._moved: dict[Path, Path] = {}
        self._staging.mkdir(parents=True, exist_ok=True, mode=0o750)
        sync_folder(root)
        sync_folder(self._top)

    @abstractmethod
    def _files_of(self, folder: Path) -> Mapping[str, FileEntry]:
        """The files that the manifest in `folder` names. Raises DataCorrupt, FileNotFoundError."""

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """While inside, what is deleted can still be read where `kept` says."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
            if not self._holds:
                for trash in self._moved.values():
                    shutil.rmtree(trash, ignore_errors=True)
                self._moved.clear()

    def kept(self, name: str, version: int) -> tuple[Path, tuple[str, ...]]:
        """Where a version is, or was moved to while `held`: the top folder, and the parts below."""
        path = self.path(name, version)
        return self._top, self._moved.get(path, path).relative_to(self._top).parts

    def files_of(self, folder: Path) -> Mapping[str, FileEntry]:
        """The files of the manifest in `folder`. Raises DataCorrupt, UnsafeFile."""
        try:
            return self._files_of(folder)
        except FileNotFoundError:
            raise DataCorrupt(f"the {self._noun} has no manifest") from None

    def stage(self) -> Staging:
        """Make an empty staging folder; `discard` it, or `publish` what grew in it."""
        path = self._staging / secrets.token_hex(8)
        staging = Staging(path, path / "incoming", path / "version")
        for folder in staging:
            folder.mkdir(mode=0o750)
        return staging

    def discard(self, staging: Staging) -> None:
        """Remove a staging folder, whatever is left of it."""
        shutil.rmtree(staging.path, ignore_errors=True)

    def publish(self, name: str, version: int, staging: Staging) -> Path:
        """Move `staging.version` to its place, durably, and remove the rest; returns the place.

        Its files must be on disk already (the job fsyncs them). Raises DataCorrupt where the
        manifest and the files differ in name or size.
        """
        self._check_complete(staging.version)
        target = self.place(name, version)
        target.parent.mkdir(exist_ok=True, mode=0o750)
        sync_folder(staging.version)
        # Fails on a folder that holds anything, so a version is never overwritten.
        staging.version.rename(target)
        sync_folder(target.parent)
        sync_folder(self._top)
        self.discard(staging)
        return target

    def path(self, name: str, version: int) -> Path:
        """Where the version is; says nothing about whether it is there."""
        return self._top / check_model_id(name, f"{self._noun}_id") / str(int(version))

    def place(self, name: str, version: int) -> Path:
        """As `path`, for a change there; raises UnsafeFile where it would lead elsewhere."""
        target = self.path(name, version)
        if target.parent.is_symlink() or target.is_symlink():
            raise UnsafeFile(f'the folder of {self._noun} "{name}" is a symbolic link')
        return target

    def open_file(self, name: str, version: int, file: str) -> int:
        """Open one file for reading, safely; returns a descriptor the caller closes.

        Raises UnsafeFile (see `files.open_regular`), DataCorrupt where it is missing.
        """
        path = self.path(name, version)
        try:
            with open_folder(self._top, path.parent.name, path.name) as folder:
                return open_regular(folder, file)
        except FileNotFoundError:
            raise DataCorrupt(f'file "{file}" of the {self._noun} is missing') from None

    def read_file(self, name: str, version: int, file: str, limit: int = MAX_JSON) -> bytes:
        """Read one file of at most `limit` bytes; raises as `open_file`."""
        path = self.path(name, version)
        try:
            with open_folder(self._top, path.parent.name, path.name) as folder:
                return read_regular(folder, file, limit)
        except FileNotFoundError:
            raise DataCorrupt(f'file "{file}" of the {self._noun} is missing') from None

    def check_sizes(self, name: str, version: int, files: Mapping[str, FileEntry]) -> None:
        """Raise where a file is not the plain file of the size that the manifest says."""
        for file, entry in files.items():
            fd = self.open_file(name, version, file)
            try:
                size = os.fstat(fd).st_size
            finally:
                os.close(fd)
            if size != entry.bytes:
                raise DataCorrupt(f'file "{file}" has not the size its manifest says')

    def byte_size(self, name: str, version: int) -> int:
        """Bytes of all files, as they are on disk now."""
        return sum(entry.stat().st_size for entry in self.path(name, version).iterdir())

    def delete(self, name: str, version: int) -> None:
        """Remove a version, durably: gone from its place before its files are removed."""
        target = self.place(name, version)
        trash = self._staging / secrets.token_hex(8)
        try:
            target.rename(trash)
        except FileNotFoundError:
            return
        if not any(target.parent.iterdir()):
            target.parent.rmdir()
            sync_folder(self._top)
        else:
            sync_folder(target.parent)
        if self._holds:
            self._moved[target] = trash
        else:
            shutil.rmtree(trash, ignore_errors=True)

    def clean(self, known: Collection[tuple[str, int]]) -> list[str]:
        """Remove what a crash left: all staging, and folders the catalog does not know.

        Call at start, before any work. `known` are (ID, version); returns the "ID/N" removed.
        """
        for leftover in self._staging.iterdir():
            shutil.rmtree(leftover, ignore_errors=True)
        keep = {self.path(*pair) for pair in known}
        orphans = [path for path in self._versions() if path not in keep]
        for path in orphans:
            trash = self._staging / secrets.token_hex(8)
            path.rename(trash)
            shutil.rmtree(trash, ignore_errors=True)
        for folder in {path.parent for path in orphans}:
            if not any(folder.iterdir()):
                folder.rmdir()
        return sorted(f"{path.parent.name}/{path.name}" for path in orphans)

    def _versions(self) -> Iterator[Path]:
        """Folders named as versions are; links are nobody's, and are neither read nor removed."""
        for named in self._top.iterdir():
            if named.name.startswith(".") or named.is_symlink() or not named.is_dir():
                continue
            for version in named.iterdir():
                if version.name.isdecimal() and version.is_dir() and not version.is_symlink():
                    yield version

    def _check_complete(self, folder: Path) -> None:
        try:
            files = self._files_of(folder)
        except FileNotFoundError:
            raise DataCorrupt("the version has no manifest") from None
        if {path.name for path in folder.iterdir()} != {MANIFEST, *files}:
            raise DataCorrupt("the version's files are not those of its manifest")
        for name, entry in files.items():
            path = folder / name
            if path.is_symlink() or not path.is_file():
                raise UnsafeFile(f'"{name}" is not a regular file')
            if path.stat().st_size != entry.bytes:
                raise DataCorrupt(f'file "{name}" has not the size its manifest says')
