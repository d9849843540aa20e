"""Version folders on disk: built aside, published by one rename, immutable ever after.

    <state>/models/ID/N/          a published version
    <state>/models/.staging/NAME/ work in progress: incoming/ (uploaded files), version/ (result)

A leading dot is no model's ID, so the two cannot meet; both are on one file system, so a rename
moves between them.
"""

import os
import secrets
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from llmosd.errors import DataCorrupt, UnsafeFile
from llmosd.store.files import open_folder, open_regular, read_regular, sync_folder
from llmosd.store.manifest import (
    CHAT_TEMPLATE,
    CONFIG,
    GENERATION,
    MANIFEST,
    GenerationDefaults,
    Manifest,
    decode_manifest,
    digest_of,
)
from llmosd.store.names import check_model_id

_STAGING = ".staging"
_MAX_JSON = 64 * 1024 * 1024

T = TypeVar("T")


class Staging(NamedTuple):
    """Folders of one piece of work; `version` becomes the version when published."""

    path: Path
    incoming: Path
    version: Path


class VersionStore:
    """The folder `<root>/models`; `root` is the state directory."""

    def __init__(self, root: Path) -> None:
        """Create what is missing."""
        self.root = root
        self._models = root / "models"
        self._staging = self._models / _STAGING
        self._staging.mkdir(parents=True, exist_ok=True, mode=0o750)
        sync_folder(root)
        sync_folder(self._models)

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

    def publish(self, model_id: str, version: int, staging: Staging) -> Path:
        """Move `staging.version` to its place, durably, and remove the rest; returns the place.

        Its files must be on disk already (the job fsyncs them). Raises DataCorrupt where the
        manifest and the files differ in name or size.
        """
        _check_complete(staging.version)
        target = self.place(model_id, version)
        target.parent.mkdir(exist_ok=True, mode=0o750)
        sync_folder(staging.version)
        # Fails on a folder that holds anything, so a version is never overwritten.
        staging.version.rename(target)
        sync_folder(target.parent)
        sync_folder(self._models)
        self.discard(staging)
        return target

    def path(self, model_id: str, version: int) -> Path:
        """Where the version is; says nothing about whether it is there."""
        return self._models / check_model_id(model_id) / str(int(version))

    def place(self, model_id: str, version: int) -> Path:
        """As `path`, for a change there; raises UnsafeFile where it would lead elsewhere."""
        target = self.path(model_id, version)
        if target.parent.is_symlink() or target.is_symlink():
            raise UnsafeFile(f'the folder of model "{model_id}" is a symbolic link')
        return target

    def open_file(self, model_id: str, version: int, name: str) -> int:
        """Open one file for reading, safely; returns a descriptor the caller closes.

        Raises UnsafeFile (see `files.open_regular`), DataCorrupt where it is missing.
        """
        try:
            with open_folder(self._models, check_model_id(model_id), str(int(version))) as folder:
                return open_regular(folder, name)
        except FileNotFoundError:
            raise DataCorrupt(f'file "{name}" of the model is missing') from None

    def read_file(self, model_id: str, version: int, name: str, limit: int = _MAX_JSON) -> bytes:
        """Read one file of at most `limit` bytes; raises as `open_file`."""
        try:
            with open_folder(self._models, check_model_id(model_id), str(int(version))) as folder:
                return read_regular(folder, name, limit)
        except FileNotFoundError:
            raise DataCorrupt(f'file "{name}" of the model is missing') from None

    def check(self, model_id: str, version: int, digest: str) -> None:
        """Raise where a file is not the plain file of the size that the manifest says.

        `digest` is the manifest's. Reads nothing else, and waits for nothing. Raises UnsafeFile,
        DataCorrupt.
        """
        manifest = self.read_file(model_id, version, MANIFEST)
        if digest_of(manifest) != digest:
            raise DataCorrupt("the model's manifest is not the one that was installed")
        for name, entry in decode_manifest(manifest).files.items():
            fd = self.open_file(model_id, version, name)
            try:
                size = os.fstat(fd).st_size
            finally:
                os.close(fd)
            if size != entry.bytes:
                raise DataCorrupt(f'file "{name}" has not the size its manifest says')

    def manifest(self, model_id: str, version: int) -> Manifest:
        """Read manifest.json."""
        return decode_manifest(self.read_file(model_id, version, MANIFEST))

    def config(self, model_id: str, version: int, kind: type[T]) -> T:
        """Read config.json as `kind`: architectures.config.ModelConfig, which is not ours."""
        return self._decode(model_id, version, CONFIG, kind)

    def generation_defaults(self, model_id: str, version: int) -> GenerationDefaults:
        """Read generation.json."""
        return self._decode(model_id, version, GENERATION, GenerationDefaults)

    def chat_template(self, model_id: str, version: int) -> str | None:
        """Read chat_template.jinja; None where the version has none."""
        if CHAT_TEMPLATE not in self.manifest(model_id, version).files:
            return None
        return self.read_file(model_id, version, CHAT_TEMPLATE).decode()

    def byte_size(self, model_id: str, version: int) -> int:
        """Bytes of all files, as they are on disk now."""
        return sum(entry.stat().st_size for entry in self.path(model_id, version).iterdir())

    def delete(self, model_id: str, version: int) -> None:
        """Remove a version, durably: gone from its place before its files are removed."""
        target = self.place(model_id, version)
        trash = self._staging / secrets.token_hex(8)
        try:
            target.rename(trash)
        except FileNotFoundError:
            return
        if not any(target.parent.iterdir()):
            target.parent.rmdir()
            sync_folder(self._models)
        else:
            sync_folder(target.parent)
        shutil.rmtree(trash, ignore_errors=True)

    def clean(self, known: Collection[tuple[str, int]]) -> list[str]:
        """Remove what a crash left: all staging, and folders the catalog does not know.

        Call at start, before any work. `known` are (model_id, version); returns the "ID/N"
        removed.
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
        for model in self._models.iterdir():
            if model.name.startswith(".") or model.is_symlink() or not model.is_dir():
                continue
            for version in model.iterdir():
                if version.name.isdecimal() and version.is_dir() and not version.is_symlink():
                    yield version

    def _decode(self, model_id: str, version: int, name: str, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(self.read_file(model_id, version, name), type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise DataCorrupt(f'file "{name}" of the model is damaged: {error}') from None


def _check_complete(folder: Path) -> None:
    try:
        manifest = decode_manifest(read_regular(folder, MANIFEST, _MAX_JSON))
    except FileNotFoundError:
        raise DataCorrupt("the version has no manifest") from None
    if {path.name for path in folder.iterdir()} != {MANIFEST, *manifest.files}:
        raise DataCorrupt("the version's files are not those of its manifest")
    for name, entry in manifest.files.items():
        path = folder / name
        if path.is_symlink() or not path.is_file():
            raise UnsafeFile(f'"{name}" is not a regular file')
        if path.stat().st_size != entry.bytes:
            raise DataCorrupt(f'file "{name}" has not the size its manifest says')
