"""Versions of models on disk: <state>/models/ID/N/, published and kept as `folders` says."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from llmosd.errors import DataCorrupt
from llmosd.store.files import read_regular
from llmosd.store.folders import MAX_JSON, Staging, VersionFolders
from llmosd.store.manifest import (
    CHAT_TEMPLATE,
    CONFIG,
    GENERATION,
    MANIFEST,
    FileEntry,
    GenerationDefaults,
    Manifest,
    decode_manifest,
    digest_of,
)

__all__ = ["Staging", "VersionStore"]

T = TypeVar("T")


class VersionStore(VersionFolders):
    """The folder `<root>/models`; `root` is the state directory."""

    def __init__(self, root: Path) -> None:
        """Create what is missing."""
        super().__init__(root, "model")

    def check(self, model_id: str, version: int, digest: str) -> None:
        """Raise where a file is not the plain file of the size that the manifest says.

        `digest` is the manifest's. Reads nothing else, and waits for nothing. Raises UnsafeFile,
        DataCorrupt.
        """
        manifest = self.read_file(model_id, version, MANIFEST)
        if digest_of(manifest) != digest:
            raise DataCorrupt("the model's manifest is not the one that was installed")
        self.check_sizes(model_id, version, decode_manifest(manifest).files)

    def verify(self, model_id: str, version: int, digest: str) -> None:
        """As `check`, and raise DataCorrupt where a byte is not as it was installed. Reads all."""
        self.check(model_id, version, digest)
        for name, entry in self.manifest(model_id, version).files.items():
            with os.fdopen(self.open_file(model_id, version, name), "rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != entry.sha256:
                    raise DataCorrupt(f'file "{name}" differs from its digest: install it again')

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

    def _files_of(self, folder: Path) -> Mapping[str, FileEntry]:
        return decode_manifest(read_regular(folder, MANIFEST, MAX_JSON)).files

    def _decode(self, model_id: str, version: int, name: str, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(self.read_file(model_id, version, name), type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise DataCorrupt(f'file "{name}" of the model is damaged: {error}') from None
