"""Writing a dataset version as a stream, into a folder that is not published yet."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import msgspec

from llmosd.store.datasets import (
    OFFSETS,
    RECIPE,
    REPORT,
    ROWS,
    SPLITS,
    SPLITS_FILE,
    DatasetKind,
    DatasetManifest,
    Split,
    content_digest,
)
from llmosd.store.files import sync_folder, write_durably
from llmosd.store.manifest import MANIFEST, FileEntry, encode_json

# Or gigabytes of dirty pages would stall everybody's writes at the end.
_WRITE_BACK = 64 * 1024 * 1024


def canonical(row: Mapping[str, Any]) -> bytes:
    """A row as it is written: sorted keys, UTF-8, no white space between, no line feed."""
    return msgspec.json.encode(row, order="sorted")


class DatasetWriter:
    """Takes rows one by one; a context manager. One row is in memory at a time."""

    def __init__(self, folder: Path, kind: DatasetKind) -> None:
        """Begin the three files of rows, new in `folder`."""
        self._folder, self._kind = folder, kind
        self._rows = _HashedFile(folder / ROWS)
        self._offsets = _HashedFile(folder / OFFSETS)
        self._splits = _HashedFile(folder / SPLITS_FILE)
        self._counts = dict.fromkeys(SPLITS, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for file in (self._rows, self._offsets, self._splits):
            file.close()

    def __len__(self) -> int:
        return sum(self._counts.values())

    @property
    def splits(self) -> dict[Split, int]:
        """Rows so far."""
        return dict(self._counts)

    def add(self, row: Mapping[str, Any], split: Split = "train") -> None:
        """Write a row of the kind's schema."""
        self.add_line(canonical(row), split)

    def add_line(self, row: bytes, split: Split = "train") -> None:
        """Write a row that is canonical already."""
        self._offsets.write(self._rows.size.to_bytes(8, "little"))
        self._rows.write(row + b"\n")
        self._splits.write(bytes([SPLITS.index(split)]))
        self._counts[split] += 1

    def finish(
        self,
        *,
        license_: str,
        source: str,
        lineage: Mapping[str, str],
        recipe: object,
        report: object,
    ) -> DatasetManifest:
        """Write the small files, the manifest last; all on disk when this returns."""
        assert len(self) > 0, "whoever writes refuses an empty dataset in its own words"
        self._offsets.write(self._rows.size.to_bytes(8, "little"))
        files = {
            ROWS: self._rows.finish(),
            OFFSETS: self._offsets.finish(),
            SPLITS_FILE: self._splits.finish(),
        }
        for name, value in ((RECIPE, recipe), (REPORT, report)):
            data = encode_json(value)
            write_durably(self._folder, name, data)
            files[name] = FileEntry(len(data), hashlib.sha256(data).hexdigest())
        manifest = DatasetManifest(
            kind=self._kind,
            rows=len(self),
            splits=self.splits,
            digest=content_digest(self._kind, files[ROWS].sha256, files[SPLITS_FILE].sha256),
            license=license_,
            source=source,
            lineage=dict(lineage),
            files=files,
        )
        write_durably(self._folder, MANIFEST, encode_json(manifest))
        sync_folder(self._folder)
        return manifest


class _HashedFile:
    """A new file, its size and its digest made on the way."""

    def __init__(self, path: Path) -> None:
        self.size = 0
        self._unsynced = 0
        self._hash = hashlib.sha256()
        self._file: BinaryIO = path.open("xb")

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)
        self._unsynced += len(data)
        if self._unsynced >= _WRITE_BACK:
            os.fdatasync(self._file.fileno())
            self._unsynced = 0

    def finish(self) -> FileEntry:
        self._file.flush()
        os.fsync(self._file.fileno())
        self.close()
        return FileEntry(self.size, self._hash.hexdigest())

    def close(self) -> None:
        self._file.close()
