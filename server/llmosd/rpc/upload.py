"""Receiving a model: files to a staging folder, each against its digest, then the import job."""

import hashlib
import shutil
from collections.abc import AsyncIterator

from llmos.v1 import model_service_pb2 as pb
from llmosd.errors import (
    InsufficientDisk,
    InvalidField,
    LimitExceeded,
)
from llmosd.jobs.messages import ImportSpec, ModelFormat
from llmosd.operations.manager import OperationManager, Report
from llmosd.rpc import resources
from llmosd.rpc.publishing import Publisher
from llmosd.rpc.receiver import Receiver
from llmosd.store.manifest import Dtype
from llmosd.store.names import model_name
from llmosd.store.records import OperationRecord
from llmosd.store.run_events import ProgressEvent
from llmosd.store.versions import Staging, VersionStore
from llmosd.supervisor.job_runner import JobRunner
from llmosd.supervisor.pool import ModelPool

_FORMATS: dict[int, ModelFormat] = {
    pb.MODEL_FORMAT_GGUF: "gguf",
    pb.MODEL_FORMAT_HUGGING_FACE: "hugging_face",
}
_DTYPES: dict[int, Dtype] = {
    pb.STORE_DTYPE_FLOAT32: "float32",
    pb.STORE_DTYPE_FLOAT16: "float16",
    pb.STORE_DTYPE_BFLOAT16: "bfloat16",
}
_DEFAULTS = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
# Part of the disk that an upload leaves alone.
_DISK_RESERVE = 0.05


class Uploads:
    """Uploads into the store."""

    def __init__(
        self,
        publisher: Publisher,
        store: VersionStore,
        pool: ModelPool,
        operations: OperationManager,
        jobs: JobRunner,
        max_bytes: int,
    ) -> None:
        self._publisher = publisher
        self._store = store
        self._pool = pool
        self._operations = operations
        self._jobs = jobs
        self._max_bytes = max_bytes

    async def receive(self, requests: AsyncIterator[pb.UploadModelRequest]) -> OperationRecord:
        """Take a whole upload, then start the operation that converts it.

        Raises:
            InvalidField, LimitExceeded, InsufficientDisk: nothing is kept.
            DataCorrupt: content differs from its digest; nothing is kept.
        """
        first = await anext(aiter(requests), None)
        if first is None or first.WhichOneof("part") != "header":
            raise InvalidField.of("part", "the first message must be the header")
        header = first.header
        digest = hashlib.sha256(header.SerializeToString(deterministic=True)).hexdigest()
        known = self._operations.repeated(header.request_id, digest)
        if known is not None:
            return known
        self._check(header)
        staging = self._store.stage()
        try:
            await Receiver(header, staging.incoming).run(requests)
            known = self._operations.repeated(header.request_id, digest)
            if known is not None:  # the same upload, on another call, was quicker
                self._store.discard(staging)
                return known
            return self._operations.start(
                "upload-model",
                model_name(header.model_id),
                lambda report: self._convert(header, staging, report),
                request_id=header.request_id,
                payload_digest=digest,
            )
        except BaseException:
            self._store.discard(staging)
            raise

    def _check(self, header: pb.UploadModelHeader) -> None:
        _default_sampling(header)
        names = [file.name for file in header.files]
        if len(set(names)) != len(names):
            raise InvalidField.of("header.files", "two files have one name")
        total = sum(file.byte_size for file in header.files)
        if total > self._max_bytes:
            raise LimitExceeded(
                f"the files have {total} bytes; max_upload_bytes is {self._max_bytes}"
            )
        disk = shutil.disk_usage(self._store.root)
        # The files, and what they become: quantized weights grow when they are converted.
        needed = 2 * total + int(disk.total * _DISK_RESERVE)
        if disk.free < needed:
            raise InsufficientDisk(
                f"the upload needs {needed >> 20} MiB with the reserve; {disk.free >> 20} are free",
                metadata={"needed_bytes": str(needed), "available_bytes": str(disk.free)},
            )

    async def _convert(
        self, header: pb.UploadModelHeader, staging: Staging, report: Report
    ) -> bytes:
        """The operation: run the import job, publish what it made."""
        spec = ImportSpec(
            files={file.name: str(staging.incoming / file.name) for file in header.files},
            format=_FORMATS[header.format],
            output=str(staging.version),
            license=header.license,
            source=header.source,
            dtype=_DTYPES.get(header.dtype) if header.HasField("dtype") else None,
            sampling=_default_sampling(header),
        )
        try:
            result = await self._jobs.run(
                f"import {header.model_id}",
                spec,
                lambda at: report(ProgressEvent(at.stage, at.completed, at.total, at.unit)),
            )
            record = self._publisher.publish(
                header.model_id, result.manifest, result.digest, result.byte_size, staging
            )
        finally:
            self._store.discard(staging)
        return resources.packed(resources.version(record, self._pool))


def _default_sampling(header: pb.UploadModelHeader) -> dict[str, int | float]:
    """The defaults that the uploader gives; raises InvalidField for what cannot be one."""
    given = {field.name: value for field, value in header.sampling.ListFields()}
    for name in given:
        if name not in _DEFAULTS:
            raise InvalidField.of(f"header.sampling.{name}", f"only {', '.join(_DEFAULTS)} can be")
    return given
