"""Versions of datasets on disk: <state>/datasets/ID/N/, published and kept as `folders` says.

manifest.json   DatasetManifest: what the version is, and the SHA-256 of every other file
rows.jsonl      a row per line: canonical JSON (sorted keys, no white space between)
offsets.bin     where each row starts, and where the last one ends: little-endian uint64
splits.bin      a byte per row: its position in SPLITS
recipe.json, report.json    what was done to the rows, and what came of it

A version's digest is over kind, rows and splits: what is the same to train on has the same digest.
"""

import hashlib
import mmap
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import msgspec

from llmosd.errors import DataCorrupt
from llmosd.store.files import open_regular, read_regular
from llmosd.store.folders import MAX_JSON, VersionFolders
from llmosd.store.manifest import MANIFEST, FileEntry

ROWS = "rows.jsonl"
OFFSETS = "offsets.bin"
SPLITS_FILE = "splits.bin"
RECIPE = "recipe.json"
REPORT = "report.json"

FORMAT = 1
"""Of the folder; raised when a reader of the old one would go wrong."""

DatasetKind = Literal[
    "text", "chat", "pairs", "labelled", "graded", "preference", "rated", "choices", "checks"
]
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

_PAIR = struct.Struct("<QQ")
# Pages behind a walk through the rows are given back, or a large file would count as memory.
_RELEASE = 32 * 1024 * 1024


class DatasetManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a version is. `splits` are the numbers of rows of each; `lineage` what it is made of."""

    format: int = FORMAT
    kind: DatasetKind
    rows: int
    splits: dict[Split, int]
    digest: str
    license: str = ""
    source: str = ""
    lineage: dict[str, str] = {}
    files: dict[str, FileEntry]

    @property
    def byte_size(self) -> int:
        """Of all files but the manifest."""
        return sum(entry.bytes for entry in self.files.values())


class DatasetStore(VersionFolders):
    """The folder `<root>/datasets`; `root` is the state directory."""

    def __init__(self, root: Path) -> None:
        """Create what is missing."""
        super().__init__(root, "dataset")

    def manifest(self, dataset_id: str, version: int) -> DatasetManifest:
        """Read manifest.json. Raises DataCorrupt, UnsafeFile."""
        return decode_manifest(self.read_file(dataset_id, version, MANIFEST))

    def open(self, dataset_id: str, version: int) -> "DatasetReader":
        """Read the version's rows. Raises DataCorrupt, UnsafeFile."""
        return DatasetReader(self.place(dataset_id, version))

    def _files_of(self, folder: Path) -> Mapping[str, FileEntry]:
        return decode_manifest(read_regular(folder, MANIFEST, MAX_JSON)).files


class DatasetReader:
    """The rows of one version, memory-mapped; use as a context manager, or `close` it."""

    def __init__(self, folder: Path) -> None:
        """Open a version's folder; raises DataCorrupt where it is damaged, UnsafeFile."""
        try:
            self.manifest = decode_manifest(read_regular(folder, MANIFEST, MAX_JSON))
            self._rows = self._map(folder, ROWS)
            self._offsets = self._map(folder, OFFSETS)
            self._splits = self._map(folder, SPLITS_FILE)
        except FileNotFoundError:
            raise DataCorrupt("a file of the dataset is missing; upload it again") from None
        count = self.manifest.rows
        whole = len(self._offsets) == 8 * (count + 1) and len(self._splits) == count
        if not whole or self._span(count - 1)[1] != len(self._rows):
            raise DataCorrupt("the dataset's files do not belong together; upload it again")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        return self.manifest.rows

    @property
    def kind(self) -> DatasetKind:
        """What a row holds."""
        return self.manifest.kind

    @property
    def digest(self) -> str:
        """Of kind, rows and splits: "sha256:…"."""
        return self.manifest.digest

    def line(self, index: int) -> bytes:
        """A row as it is written, without the line feed."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        start, end = self._span(index)
        return self._rows[start : end - 1]

    def row(self, index: int) -> dict[str, Any]:
        """A row. Raises IndexError, DataCorrupt."""
        try:
            row: dict[str, Any] = msgspec.json.decode(self.line(index), type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise DataCorrupt(f"row {index} of the dataset is damaged; upload it again") from None
        return row

    def split_of(self, index: int) -> Split:
        """The split that a row is in. Raises IndexError, DataCorrupt."""
        number = self._splits[index]
        if number >= len(SPLITS):
            raise DataCorrupt(f"row {index} of the dataset is damaged; upload it again")
        return SPLITS[number]

    def indices(self, split: Split, start: int = 0) -> Iterator[int]:
        """Positions of the rows of a split, in order, from `start`."""
        wanted = bytes([SPLITS.index(split)])
        at = self._splits.find(wanted, start)
        while at >= 0:
            yield at
            at = self._splits.find(wanted, at + 1)

    def rows(self, split: Split | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
        """Position and content of all rows, or of those of a split, in order.

        Takes little memory however large the file is: for one pass through it.
        """
        released = 0
        for index in range(len(self)) if split is None else self.indices(split):
            yield index, self.row(index)
            end = self._span(index)[1] // mmap.PAGESIZE * mmap.PAGESIZE
            if end - released >= _RELEASE:
                self._rows.madvise(mmap.MADV_DONTNEED, released, end - released)
                released = end

    def close(self) -> None:
        """Close the files."""
        for mapped in (self._rows, self._offsets, self._splits):
            mapped.close()

    def _span(self, index: int) -> tuple[int, int]:
        start, end = _PAIR.unpack_from(self._offsets, 8 * index)
        return start, end

    def _map(self, folder: Path, name: str) -> mmap.mmap:
        fd = open_regular(folder, name)
        try:
            entry = self.manifest.files.get(name)
            if entry is None or os.fstat(fd).st_size != entry.bytes or not entry.bytes:
                raise DataCorrupt(f'file "{name}" of the dataset has not the size it should have')
            return mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
        finally:
            os.close(fd)


def content_digest(kind: DatasetKind, rows_sha256: str, splits_sha256: str) -> str:
    """The digest of a version."""
    parts = "\n".join((f"llmos dataset {FORMAT}", kind, rows_sha256, splits_sha256))
    return f"sha256:{hashlib.sha256(parts.encode()).hexdigest()}"


def decode_manifest(data: bytes) -> DatasetManifest:
    """Read manifest.json; raises DataCorrupt when damaged or of a newer format."""
    try:
        manifest = msgspec.json.decode(data, type=DatasetManifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataCorrupt(f'file "{MANIFEST}" of the dataset is damaged: {error}') from None
    if manifest.format != FORMAT:
        raise DataCorrupt(
            f'file "{MANIFEST}" of the dataset has format {manifest.format}; this daemon knows 1'
        )
    if manifest.rows < 1:
        raise DataCorrupt("the dataset has no rows")
    return manifest
