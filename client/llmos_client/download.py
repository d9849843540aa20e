"""Files on their way from the daemon: each against its digest, and none under its name until whole.

A file, or a folder, grows beside its place under another name and is renamed when all of it is
there and on disk: what has the name is complete, whatever was interrupted.
"""

import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from llmos.v1 import model_service_pb2
from llmos_client.errors import DataCorruptError, InvalidFieldError
from llmos_client.exports import Export, ExportedFile
from llmos_client.requests import enum_value
from llmos_client.results import OperationProgress
from llmos_client.upload import OnProgress

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def export_request(
    name: str, model_format: str | None, dtype: str | None, target: Path
) -> model_service_pb2.ExportModelRequest:
    """Build an ExportModelRequest; the format is guessed from the target where it is not given."""
    guessed = "gguf" if target.name.lower().endswith(".gguf") else "hugging_face"
    request = model_service_pb2.ExportModelRequest(
        name=name,
        format=enum_value(model_service_pb2.ModelFormat, "MODEL_FORMAT_", model_format or guessed),
    )
    if dtype is not None:
        request.dtype = enum_value(model_service_pb2.ExportDtype, "EXPORT_DTYPE_", dtype)
    return request


class Download:
    """Takes the messages of an export one by one; `finish` gives the result its name.

    Raises:
        InvalidFieldError: there is something at the target already.
        DataCorruptError: what came is not what the header says.
    """

    def __init__(self, target: Path, on_progress: OnProgress | None = None) -> None:
        """`target` is a folder to be made, or the name of one .gguf file."""
        if target.exists() and not (target.is_dir() and not any(target.iterdir())):
            raise InvalidFieldError(
                f"{target.name} is there already; choose another name", code="INVALID_ARGUMENT"
            )
        self._target = target
        self._partial = target.with_name(f".{target.name}.{uuid4().hex[:8]}.partial")
        self._on_progress = on_progress
        self._header: model_service_pb2.ExportModelHeader | None = None
        self._index = -1
        self._left = self._done = self._total = 0
        self._hash = hashlib.sha256()
        self._file: BinaryIO | None = None

    def take(self, response: model_service_pb2.ExportModelResponse) -> None:
        """Take the next message."""
        part = response.WhichOneof("part")
        if part == "progress":
            at = response.progress
            self._tell(OperationProgress(at.stage, at.completed, at.total, at.unit))
        elif part == "header":
            self._begin(response.header)
        elif part == "chunk":
            self._write(response.chunk)

    def finish(self) -> Export:
        """Everything came: rename it."""
        header = self._header
        if header is None or self._left or self._index < len(header.files) - 1:
            raise DataCorruptError("the export ended early; try again", code="DATA_LOSS")
        whole, alone = self._partial, header.format == model_service_pb2.MODEL_FORMAT_GGUF
        if alone:
            whole = self._partial / header.files[0].name
        else:
            _sync(whole)
        if self._target.is_dir():
            self._target.rmdir()  # empty, as was seen before
        whole.rename(self._target)
        _sync(self._target.parent)
        self.discard()
        files = tuple(ExportedFile(f.name, f.byte_size, f.digest) for f in header.files)
        return Export(self._target, header.model_version, header.license, header.source, files)

    def discard(self) -> None:
        """Remove what did not become a result."""
        if self._file is not None:
            self._file.close()
            self._file = None
        shutil.rmtree(self._partial, ignore_errors=True)

    def _begin(self, header: model_service_pb2.ExportModelHeader) -> None:
        names = [file.name for file in header.files]
        alone = header.format == model_service_pb2.MODEL_FORMAT_GGUF
        wrong = self._header is not None or len(set(names)) != len(names) or not names
        if wrong or (alone and len(names) != 1) or not all(map(_PLAIN.fullmatch, names)):
            raise DataCorruptError("the export's header is none", code="DATA_LOSS")
        self._header = header
        self._total = sum(file.byte_size for file in header.files)
        self._partial.mkdir(parents=True)
        self._next()

    def _write(self, chunk: model_service_pb2.ExportModelChunk) -> None:
        if self._file is None or chunk.file != self._index or len(chunk.data) > self._left:
            raise DataCorruptError("the export's chunks are out of order", code="DATA_LOSS")
        self._file.write(chunk.data)
        self._hash.update(chunk.data)
        self._left -= len(chunk.data)
        self._done += len(chunk.data)
        self._tell(OperationProgress("download", self._done, self._total, "bytes"))
        if not self._left:
            self._close()
            self._next()

    def _next(self) -> None:
        """Open the next file; one of no bytes gets no chunk."""
        assert self._header is not None
        while self._index < len(self._header.files) - 1:
            self._index += 1
            entry = self._header.files[self._index]
            self._left = entry.byte_size
            self._hash = hashlib.sha256()
            self._file = (self._partial / entry.name).open("xb")
            if self._left:
                return
            self._close()

    def _close(self) -> None:
        assert self._header is not None
        assert self._file is not None
        entry = self._header.files[self._index]
        if f"sha256:{self._hash.hexdigest()}" != entry.digest:
            raise DataCorruptError(f"{entry.name} differs from its digest", code="DATA_LOSS")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._file = None

    def _tell(self, progress: OperationProgress) -> None:
        if self._on_progress is not None:
            self._on_progress(progress)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
