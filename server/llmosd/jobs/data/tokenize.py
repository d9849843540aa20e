"""A dataset's tokens, kept on disk under a name that is a digest of all that they depend on.

    <cache>/<key>/ids.bin, mask.bin, offsets.bin, labels.bin    arrays, little-endian
    <cache>/<key>/meta.json                                      their sizes and SHA-256

Safe to delete: what is missing or damaged is made again.
"""

import asyncio
import hashlib
import secrets
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import msgspec
import numpy as np
import tokenizers

from llmosd.errors import InvalidDataset
from llmosd.jobs.data.encode_rows import RowEncoder
from llmosd.jobs.data.schema import Row
from llmosd.jobs.data.tokenized import TokenizedDataset
from llmosd.progress import Progress
from llmosd.store.datasets import DatasetReader, Split
from llmosd.store.manifest import FileEntry, GenerationDefaults, encode_json
from llmosd.text.templates import TemplateRenderer
from llmosd.text.training_text import Encoded, TrainingText

STAGE = "tokenize"
_FORMAT = 1
_META = "meta.json"
_IDS, _MASK, _OFFSETS, _LABELS = "ids.bin", "mask.bin", "offsets.bin", "labels.bin"


class TokenizeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What tokens depend on beside rows, tokenizer and template.

    Attributes:
        append_eos: end what is not a conversation with the end token.
        max_length: tokens of an example at most; 0: any number. Texts are kept whole.
        drop_long: leave longer examples out, and count them, instead of refusing them.
    """

    append_eos: bool = True
    max_length: int = 0
    drop_long: bool = False


class _Meta(msgspec.Struct, frozen=True, kw_only=True):
    """meta.json."""

    ids_dtype: str
    labels_dtype: str
    label_names: tuple[str, ...]
    dropped: int
    files: dict[str, FileEntry]


def tokenize_dataset(
    reader: DatasetReader,
    split: Split | None,
    tokenizer_json: bytes,
    generation_defaults: GenerationDefaults,
    chat_template: str | None,
    cache_root: Path,
    progress: Progress,
    options: TokenizeOptions | None = None,
) -> TokenizedDataset:
    """The tokens of a split (None: of all rows), from the cache or made now; arrays are mapped.

    Of a split without rows, a dataset of no examples. Must not be called from a running event loop.

    Raises:
        InvalidDataset: naming the row that has no token to learn from, is longer than `max_length`,
            or whose turns the template does not keep apart.
        FeatureUnavailable: conversations, and no template.
        OperationCancelled, DataCorrupt.
    """
    options = options or TokenizeOptions()
    key = _key(reader, split, tokenizer_json, generation_defaults, chat_template, options)
    folder = cache_root / key
    found = _opened(folder, key)
    if found is not None:
        return found
    work = cache_root / f".{key[:16]}.{secrets.token_hex(4)}"
    work.mkdir(parents=True, mode=0o750)
    try:
        with _Writer(work, reader, options) as writer:
            made = _fill(
                writer, reader, split, tokenizer_json, generation_defaults, chat_template, progress
            )
            asyncio.run(made)
            writer.finish()
        shutil.rmtree(folder, ignore_errors=True)  # what is there is damaged
        try:
            work.rename(folder)
        except OSError:  # another job was quicker
            found = _opened(folder, key)
            if found is None:
                raise
            return found
    finally:
        shutil.rmtree(work, ignore_errors=True)
    found = _opened(folder, key)
    assert found is not None, "what was just written can be read"
    return found


async def _fill(
    writer: "_Writer",
    reader: DatasetReader,
    split: Split | None,
    tokenizer_json: bytes,
    defaults: GenerationDefaults,
    template: str | None,
    progress: Progress,
) -> None:
    renderer = TemplateRenderer()
    try:
        text = TrainingText(tokenizer_json, defaults, template, renderer)
        writer.ids_dtype = np.dtype("<u2" if len(text.vocabulary) <= 1 << 16 else "<u4")
        encoder = RowEncoder(text, append_eos=writer.options.append_eos)
        total = len(reader) if split is None else reader.manifest.splits.get(split, 0)
        done = 0
        async for index, row, examples in encoder.examples(reader, split):
            progress.check_cancelled()
            done += 1
            progress.report(STAGE, done, total, "rows")
            writer.add(index, row, examples)
    finally:
        await renderer.close()


class _Writer:
    """Arrays that grow on disk."""

    def __init__(self, folder: Path, reader: DatasetReader, options: TokenizeOptions) -> None:
        self.options = options
        self.ids_dtype = np.dtype("<u2")
        self._folder, self._kind = folder, reader.kind
        self._names = _label_names(reader)
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
                self._files[_LABELS].write(np.array(self._label(row), self._labels_dtype).tobytes())

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

    def _label(self, row: Row) -> float:
        if self._kind == "labelled":
            return self._numbers[row["label"]]
        return row["score"] if self._kind == "graded" else int(row["desirable"])


def _opened(folder: Path, key: str) -> TokenizedDataset | None:
    """What is in the cache, if it is whole."""
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
        digest=f"sha256:{key}",
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


def _label_names(reader: DatasetReader) -> tuple[str, ...]:
    """Of all rows, so that every split numbers them alike."""
    if reader.kind != "labelled":
        return ()
    return tuple(sorted({row["label"] for _, row in reader.rows()}))


def _key(
    reader: DatasetReader,
    split: Split | None,
    tokenizer_json: bytes,
    defaults: GenerationDefaults,
    template: str | None,
    options: TokenizeOptions,
) -> str:
    """A digest of everything that the tokens depend on."""
    parts: dict[str, Any] = {
        "format": _FORMAT,
        "dataset": reader.digest,
        "split": split,
        "tokenizer": hashlib.sha256(tokenizer_json).hexdigest(),
        "library": tokenizers.__version__,
        "begin": defaults.bos_token_id if defaults.add_bos else None,
        "tokens": [defaults.bos_token, defaults.eos_token, defaults.eos_token_ids],
        "template": template,
        "options": options,
    }
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()
