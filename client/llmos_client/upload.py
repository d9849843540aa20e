"""Files on their way to the daemon: opened safely, hashed, cut into chunks."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from llmos.v1 import dataset_service_pb2, model_service_pb2
from llmos_client.errors import InvalidModelFileError, UnsafeFileError
from llmos_client.requests import enum_value
from llmos_client.results import OperationProgress

CHUNK_BYTES = 1024 * 1024

# Told how far hashing, sending and the daemon's own stages are.
OnProgress = Callable[[OperationProgress], None]


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file to send, `name` as the daemon shall know it."""

    path: Path
    name: str
    byte_size: int
    sha256: str


def open_regular(path: Path) -> BinaryIO:
    """Open a plain file for reading; a pipe or a device is refused without waiting for it."""
    # Without O_NONBLOCK the open itself would wait for a FIFO's writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnsafeFileError(f'"{path.name}" is not a plain file', code="INVALID_ARGUMENT")
    return os.fdopen(descriptor, "rb")


def read_files(
    paths: Iterable[Path | str | LocalFile], on_progress: OnProgress | None = None
) -> list[LocalFile]:
    """Hash files; what is sent later is checked against these digests by the daemon."""
    found = [path if isinstance(path, LocalFile) else Path(path) for path in paths]
    total = sum(path.stat().st_size for path in found if isinstance(path, Path))
    files: list[LocalFile] = []
    done = 0
    for path in found:
        if isinstance(path, LocalFile):
            files.append(path)
            continue
        digest, start = hashlib.sha256(), done
        with open_regular(path) as file:
            while data := file.read(CHUNK_BYTES):
                digest.update(data)
                done += len(data)
                _tell(on_progress, "hash", done, total)
        files.append(LocalFile(path, path.name, done - start, digest.hexdigest()))
    return files


def make_header(
    model_id: str,
    files: Sequence[LocalFile],
    *,
    model_format: str | None = None,
    license: str = "",  # noqa: A002 - the field's name
    source: str = "",
    dtype: str | None = None,
    sampling: Mapping[str, float] | None = None,
    alias: str = "",
    base: str = "",
    request_id: str = "",
) -> model_service_pb2.UploadModelHeader:
    """Describe the files; the format is guessed from their names where it is not given."""
    if not files:
        raise InvalidModelFileError("no files to upload", code="INVALID_ARGUMENT")
    one_gguf = len(files) == 1 and files[0].name.lower().endswith(".gguf")
    name = model_format or ("gguf" if one_gguf else "hugging_face")
    header = model_service_pb2.UploadModelHeader(
        model_id=model_id,
        format=enum_value(model_service_pb2.ModelFormat, "MODEL_FORMAT_", name),
        files=[
            model_service_pb2.UploadFile(
                name=f.name, byte_size=f.byte_size, digest=f"sha256:{f.sha256}"
            )
            for f in files
        ],
        license=license,
        source=source,
        alias=alias,
        base=base,
        request_id=request_id or uuid4().hex,
    )
    for option, value in (sampling or {}).items():
        setattr(header.sampling, option, value)
    if dtype is not None:
        header.dtype = enum_value(model_service_pb2.StoreDtype, "STORE_DTYPE_", dtype)
    return header


class Uploading:
    """The messages of an upload: the header, then the files' content in the header's order.

    What goes wrong while reading ends the upload early, which the daemon refuses, and is kept in
    `failure`: gRPC would log the exception and swallow it.
    """

    def __init__(
        self,
        header: model_service_pb2.UploadModelHeader | dataset_service_pb2.UploadDatasetHeader,
        files: Sequence[LocalFile],
        on_progress: OnProgress | None = None,
    ) -> None:
        self.failure: Exception | None = None
        if isinstance(header, model_service_pb2.UploadModelHeader):
            self.service, self.method = "models", "UploadModel"
            self._request: Any = model_service_pb2.UploadModelRequest
        else:
            self.service, self.method = "datasets", "UploadDataset"
            self._request = dataset_service_pb2.UploadDatasetRequest
        self._header = header
        self._files = files
        self._on_progress = on_progress

    def __iter__(self) -> Iterator[Any]:
        try:
            yield self._request(header=self._header)
            yield from self._chunks()
        except (OSError, UnsafeFileError) as error:
            self.failure = error

    def _chunks(self) -> Iterator[Any]:
        total = sum(file.byte_size for file in self._files)
        done = 0
        for index, file in enumerate(self._files):
            with open_regular(file.path) as opened:
                while data := opened.read(CHUNK_BYTES):
                    yield self._request(chunk={"file": index, "data": data})
                    done += len(data)
                    _tell(self._on_progress, "upload", done, total)


def _tell(on_progress: OnProgress | None, stage: str, done: int, total: int) -> None:
    if on_progress is not None:
        on_progress(OperationProgress(stage, done, total, "bytes"))
