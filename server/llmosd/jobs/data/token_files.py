"""The files of a dataset's tokens: arrays that grow on disk, and are mapped when they are read.

ids.bin, mask.bin, offsets.bin, labels.bin    arrays, little-endian
meta.json                                     their types, sizes and SHA-256, written last
"""

import hashlib
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec
import numpy as np

from llmosd.errors import InvalidDataset
from llmosd.jobs.data.schema import Row
from llmosd.jobs.data.tokenized import TokenizedDataset
from llmosd.store.datasets import DatasetReader
from llmosd.store.manifest import FileEntry, encode_json
from llmosd.text.training_text import Encoded

_META = "meta.json"
_IDS, _MASK, _OFFSETS, _LABELS = "ids.bin", "mask.bin", "offsets.bin", "labels.bin"


class TokenizeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What tokens depend on beside rows, tokenizer and template.

    Attributes:
        append_eos: end what is not a conversation with the end token.
        max_length: tokens of an example at most; 0: any number. Texts are kept whole.
        drop_long: leave longer examples out, and count them, instead of refusing them.
        label_names: of the classes, in the order of their numbers, such as those of the dataset
            that a model was trained on; empty: the dataset's own, sorted.
    """

    append_eos: bool = True
    max_length: int = 0
    drop_long: bool = False
    label_names: tuple[str, ...] = ()


class _Meta(msgspec.Struct, frozen=True, kw_only=True):
    """meta.json."""

    ids_dtype: str
    labels_dtype: str
    label_names: tuple[str, ...]
    dropped: int
    files: dict[str, FileEntry]


class TokenWriter:
    """Arrays that grow on disk."""

    def __init__(self, folder: Path, reader: DatasetReader, options: TokenizeOptions) -> None:
        """New files in `folder`; set `ids_dtype` before the first row where two bytes are few."""
        self.options = options
        self.ids_dtype = np.dtype("<u2")
        self._folder, self._kind = folder, reader.kind
        self._names = _label_names(reader, options)
        self._numbers = {name: number for number, name in enumerate(self._names)}
        self._labels_dtype = {"labelled": "<i8", "rated": "<i8", "graded": "<f4"}.get(
            self._kind, ""
        )
        names = [_IDS, _MASK, _OFFSETS, *([_LABELS] if self._labels_dtype else [])]
        self._files: dict[str, BinaryIO] = {name: (folder / name).open("xb") for name in names}
        self._tokens = self._dropped = 0
        self._files[_OFFSETS].write(np.int64(0).tobytes())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for file in self._files.values():
            file.close()

    def add(self, index: int, row: Row, examples: list[Encoded]) -> None:
        """Write the examples of a row, all or none. Raises InvalidDataset."""
        most = self.options.max_length
        longest = max(len(example.ids) for example in examples)
        if most and longest > most and self._kind != "text":
            if not self.options.drop_long:
                raise InvalidDataset(
                    f"row {index} has {longest} tokens, more than the {most} of an example; "
                    "allow longer ones, shorten it, or drop such rows"
                )
            self._dropped += 1
            return
        for example in examples:
            self._tokens += len(example.ids)
            self._files[_IDS].write(np.array(example.ids, self.ids_dtype).tobytes())
            self._files[_MASK].write(bytes(example.mask))
            self._files[_OFFSETS].write(np.int64(self._tokens).tobytes())
            if self._labels_dtype:
                label = np.array(self._label(index, row), self._labels_dtype)
                self._files[_LABELS].write(label.tobytes())

    def finish(self) -> None:
        """Write meta.json, last."""
        for file in self._files.values():
            file.close()
        meta = _Meta(
            ids_dtype=self.ids_dtype.str,
            labels_dtype=self._labels_dtype,
            label_names=self._names,
            dropped=self._dropped,
            files={name: _entry(self._folder / name) for name in self._files},
        )
        (self._folder / _META).write_bytes(encode_json(meta))

    def _label(self, index: int, row: Row) -> float:
        if self._kind == "labelled":
            if row["label"] not in self._numbers:
                raise InvalidDataset(
                    f"row {index} has a label that the training rows have not; "
                    "remove it, or train on rows that have it"
                )
            return self._numbers[row["label"]]
        return row["score"] if self._kind == "graded" else int(row["desirable"])


def open_tokens(folder: Path, digest: str) -> TokenizedDataset | None:
    """What is in a folder, if it is whole."""
    try:
        meta = msgspec.json.decode((folder / _META).read_bytes(), type=_Meta)
        if any(_entry(folder / name) != entry for name, entry in meta.files.items()):
            return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    labels = _mapped(folder / _LABELS, meta.labels_dtype) if meta.labels_dtype else None
    return TokenizedDataset(
        ids=_mapped(folder / _IDS, meta.ids_dtype),
        offsets=_mapped(folder / _OFFSETS, "<i8"),
        mask=_mapped(folder / _MASK, "u1"),
        labels=labels,
        label_names=meta.label_names,
        digest=digest,
        dropped=meta.dropped,
    )


def _mapped(path: Path, dtype: str) -> np.ndarray:
    if path.stat().st_size == 0:  # nothing cannot be mapped
        return np.empty(0, np.dtype(dtype))
    return np.memmap(path, np.dtype(dtype), "r")


def _entry(path: Path) -> FileEntry:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileEntry(file.tell(), digest)


def _label_names(reader: DatasetReader, options: TokenizeOptions) -> tuple[str, ...]:
    """Of all rows, so that every split numbers them alike."""
    if reader.kind != "labelled":
        return ()
    if options.label_names:
        return options.label_names
    return tuple(sorted({row["label"] for _, row in reader.rows()}))
