"""What comes of an export."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file that came: its size in bytes, and "sha256:" with its digest, which was checked."""

    name: str
    byte_size: int
    digest: str


@dataclass(frozen=True, slots=True)
class Export:
    """A version that was written to `path`, a folder or one file."""

    path: Path
    model_version: str
    license: str
    source: str
    files: tuple[ExportedFile, ...]
