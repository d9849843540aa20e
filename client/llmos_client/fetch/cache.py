"""Verified files kept by their digest, so that what was pulled once comes back offline."""

import hashlib
import os
from pathlib import Path

from llmos_client.upload import CHUNK_BYTES, open_regular


def cache_folder() -> Path:
    """Return this person's cache folder for llmos; it need not exist."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "llmos")


def find_cached(sha256: str) -> Path | None:
    """Find a kept file; one that no longer has its digest is removed."""
    path = cache_folder() / sha256
    if not path.is_file():
        return None
    if file_sha256(path) == sha256:
        return path
    path.unlink(missing_ok=True)
    return None


def keep(file: Path, sha256: str) -> Path:
    """Move a verified file, which lies in the cache folder's file system, to its place."""
    target = cache_folder() / sha256
    file.replace(target)
    return target


def file_sha256(path: Path) -> str:
    """Hash a plain file."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while data := file.read(CHUNK_BYTES):
            digest.update(data)
    return digest.hexdigest()
