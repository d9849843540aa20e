"""Filling a version folder, models/ID/N/: weights first, the manifest last."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from llmosd.store.files import sync_folder, write_durably
from llmosd.store.manifest import MANIFEST, FileEntry, Manifest, digest_of, encode_json


class Written(NamedTuple):
    """The filled folder: "sha256:…" of its manifest.json, the manifest, bytes of all files."""

    digest: str
    manifest: Manifest
    byte_size: int


def finish_version(
    folder: Path,
    manifest: Manifest,
    weights: Mapping[str, FileEntry],
    small: Mapping[str, bytes],
) -> Written:
    """Write the `small` files and, last, `manifest` with all files in it; every file is fsynced.

    `weights` are in the folder already. Of `manifest`, `files` is not read.
    """
    entries = dict(weights)
    for name, data in small.items():
        write_durably(folder, name, data)
        entries[name] = FileEntry(len(data), hashlib.sha256(data).hexdigest())
    complete = msgspec.structs.replace(manifest, files=entries)
    text = encode_json(complete)
    write_durably(folder, MANIFEST, text)
    sync_folder(folder)
    size = len(text) + sum(entry.bytes for entry in entries.values())
    return Written(digest_of(text), complete, size)
