"""Receiving a model: files to a staging folder, each against its digest, then the import job."""

from collections.abc import AsyncIterator

from llmos.v1 import model_service_pb2 as pb
from llmosd.errors import InvalidField
from llmosd.jobs.messages import ImportResult, ImportSpec, ModelFormat
from llmosd.operations.manager import OperationManager, Report
from llmosd.rpc import resources
from llmosd.rpc.publishing import Publisher
from llmosd.rpc.receiver import check_files, take_upload
from llmosd.store.catalog import Catalog
from llmosd.store.manifest import Dtype
from llmosd.store.names import LIVE, ModelRef, model_name
from llmosd.store.records import OperationRecord, VersionRecord
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


class Uploads:
    """Uploads into the store."""

    def __init__(
        self,
        publisher: Publisher,
        catalog: Catalog,
        store: VersionStore,
        pool: ModelPool,
        operations: OperationManager,
        jobs: JobRunner,
        max_bytes: int,
    ) -> None:
        self._publisher = publisher
        self._catalog = catalog
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
        return await take_upload(requests, self._store, self._operations, self._check, self._start)

    def set_max_bytes(self, most: int) -> None:
        """Take uploads of so many bytes from now on."""
        self._max_bytes = most

    def _start(
        self, header: pb.UploadModelHeader, staging: Staging, digest: str
    ) -> OperationRecord:
        return self._operations.start(
            "upload-model",
            model_name(header.model_id),
            lambda report: self._convert(header, staging, report),
            request_id=header.request_id,
            payload_digest=digest,
        )

    def _check(self, header: pb.UploadModelHeader) -> None:
        _default_sampling(header)
        self._base(header)
        # The files, and what they become: quantized weights grow when they are converted.
        check_files(header, self._store.disk, self._max_bytes, "max_upload_bytes", times=2)

    async def _convert(
        self, header: pb.UploadModelHeader, staging: Staging, report: Report
    ) -> bytes:
        """The operation: run the import job, publish what it made."""
        base = self._base(header)
        spec = ImportSpec(
            files={file.name: str(staging.incoming / file.name) for file in header.files},
            format=_FORMATS[header.format],
            output=str(staging.version),
            license=header.license,
            source=header.source,
            dtype=_DTYPES.get(header.dtype) if header.HasField("dtype") else None,
            sampling=_default_sampling(header),
            base=base.name if base else "",
            base_dir=str(self._store.place(base.model_id, base.version)) if base else "",
        )
        try:
            result = await self._jobs.run(
                f"import {header.model_id}",
                spec,
                ImportResult,
                lambda at: report(ProgressEvent(at.stage, at.completed, at.total, at.unit)),
            )
            if base is not None:
                self._catalog.resolve(ModelRef.parse(base.name))  # still there
            record = self._publisher.publish(
                header.model_id, result.manifest, result.digest, result.byte_size, staging,
                header.alias or LIVE,
            )  # fmt: skip
        finally:
            self._store.discard(staging)
        return resources.packed(resources.version(record, self._pool))

    def _base(self, header: pb.UploadModelHeader) -> VersionRecord | None:
        """What the files are an adapter to; raises InvalidField, ModelNotFound."""
        if not header.base:
            return None
        if header.format != pb.MODEL_FORMAT_HUGGING_FACE:
            raise InvalidField.of("header.format", "adapters come as the peft library writes them")
        record = self._catalog.resolve(ModelRef.parse(header.base))
        if self._store.manifest(record.model_id, record.version).adapter_base:
            raise InvalidField.of("header.base", f"{record.name} is an adapter: merge it first")
        return record


def _default_sampling(header: pb.UploadModelHeader) -> dict[str, int | float]:
    """The defaults that the uploader gives; raises InvalidField for what cannot be one."""
    given = {field.name: value for field, value in header.sampling.ListFields()}
    for name in given:
        if name not in _DEFAULTS:
            raise InvalidField.of(f"header.sampling.{name}", f"only {', '.join(_DEFAULTS)} can be")
    return given
