"""Sending a version as files: an export job, then what it wrote, each file with its digest."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

from llmos.v1 import model_service_pb2 as pb
from llmos.v1 import operation_service_pb2
from llmosd.errors import InvalidField
from llmosd.jobs.messages import ExportDtype, ExportResult, ExportSpec, JobProgress, ModelFormat
from llmosd.store.catalog import Catalog
from llmosd.store.names import ModelRef
from llmosd.store.records import VersionRecord
from llmosd.store.versions import VersionStore
from llmosd.supervisor.job_runner import JobRunner

CHUNK_BYTES = 1024 * 1024
_FORMATS: dict[int, ModelFormat] = {
    pb.MODEL_FORMAT_UNSPECIFIED: "hugging_face",
    pb.MODEL_FORMAT_HUGGING_FACE: "hugging_face",
    pb.MODEL_FORMAT_GGUF: "gguf",
}
_DTYPES: dict[int, ExportDtype] = {
    pb.EXPORT_DTYPE_FLOAT32: "float32",
    pb.EXPORT_DTYPE_FLOAT16: "float16",
    pb.EXPORT_DTYPE_BFLOAT16: "bfloat16",
    pb.EXPORT_DTYPE_Q8_0: "q8_0",
}


class Exports:
    """Exports from the store; each has a staging folder as long as it is being sent."""

    def __init__(self, catalog: Catalog, store: VersionStore, jobs: JobRunner) -> None:
        self._catalog = catalog
        self._store = store
        self._jobs = jobs

    async def send(
        self, request: pb.ExportModelRequest
    ) -> AsyncGenerator[pb.ExportModelResponse, None]:
        """Progress, the header, then chunks.

        Raises:
            ModelNotFound, InvalidField, DataCorrupt, InsufficientDisk.
        """
        record = self._catalog.resolve(ModelRef.parse(request.name, "name"))
        form = _FORMATS[request.format]
        dtype = _DTYPES.get(request.dtype) if request.HasField("dtype") else None
        if dtype == "q8_0" and form != "gguf":
            raise InvalidField.of("dtype", "Q8_0 is a type of GGUF files: ask for that format")
        staging = self._store.stage()
        try:
            spec = ExportSpec(
                folder=str(self._store.path(record.model_id, record.version)),
                name=record.model_id,
                format=form,
                output=str(staging.version),
                dtype=dtype,
                license=record.license,
            )
            result: ExportResult | None = None
            async with contextlib.aclosing(self._run(spec)) as steps:
                async for step in steps:
                    if isinstance(step, ExportResult):
                        result = step
                    else:
                        yield pb.ExportModelResponse(progress=_progress(step))
            assert result is not None
            yield pb.ExportModelResponse(header=_header(record, form, result))
            for index, file in enumerate(result.files):
                async for data in _chunks(staging.version / file.name):
                    chunk = pb.ExportModelChunk(file=index, data=data)
                    yield pb.ExportModelResponse(chunk=chunk)
        finally:
            await asyncio.to_thread(self._store.discard, staging)

    async def _run(self, spec: ExportSpec) -> AsyncGenerator[JobProgress | ExportResult, None]:
        """What the job says, and last what it made; it ends with whoever listens."""
        steps: asyncio.Queue[JobProgress | None] = asyncio.Queue()
        job = asyncio.create_task(
            self._jobs.run(f"export {spec.name}", spec, ExportResult, steps.put_nowait)
        )
        job.add_done_callback(lambda _: steps.put_nowait(None))
        try:
            while (step := await steps.get()) is not None:
                yield step
            yield await job
        finally:
            job.cancel()
            with contextlib.suppress(BaseException):
                await job


class ExportMethods:
    """The part of ModelService about exports; mixed into ModelServicer."""

    _exports: Exports

    async def ExportModel(
        self, request: pb.ExportModelRequest, _context: Any
    ) -> AsyncIterator[pb.ExportModelResponse]:
        """Send a version as files."""
        async with contextlib.aclosing(self._exports.send(request)) as responses:
            async for response in responses:
                yield response


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        # A cold disk must not stop the event loop.
        while data := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield data


def _progress(step: JobProgress) -> operation_service_pb2.OperationProgress:
    return operation_service_pb2.OperationProgress(
        stage=step.stage, completed=step.completed, total=step.total, unit=step.unit
    )


def _header(record: VersionRecord, form: ModelFormat, result: ExportResult) -> Any:
    return pb.ExportModelHeader(
        model_version=record.name,
        format=f"MODEL_FORMAT_{form.upper()}",
        files=[
            pb.UploadFile(name=file.name, byte_size=file.bytes, digest=f"sha256:{file.sha256}")
            for file in result.files
        ],
        license=record.license,
        source=record.source,
    )
