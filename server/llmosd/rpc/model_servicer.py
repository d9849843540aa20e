"""llmos.v1.ModelService: translate, call, translate."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from google.longrunning import operations_proto_pb2 as lro
from google.protobuf import empty_pb2

from llmos.v1 import model_pb2, model_service_pb2_grpc
from llmos.v1 import model_service_pb2 as pb
from llmosd.errors import DataCorrupt, ModelInUse, UnsafeFile
from llmosd.ipc.messages import Loading
from llmosd.operations.durable import DurableJobs
from llmosd.operations.manager import OperationManager, Report, Work
from llmosd.rpc import convert, paging, resources
from llmosd.rpc.exports import ExportMethods, Exports
from llmosd.rpc.promoter import Promoter
from llmosd.rpc.promotion_methods import PromotionMethods
from llmosd.rpc.publishing import remember
from llmosd.rpc.text_models import TextModels
from llmosd.rpc.upload import Uploads
from llmosd.store.catalog import Catalog
from llmosd.store.names import ModelRef
from llmosd.store.records import VersionRecord
from llmosd.store.run_events import ProgressEvent
from llmosd.store.tensors import list_tensors
from llmosd.store.versions import VersionStore
from llmosd.supervisor.pool import ModelPool

# Seconds: a model that is loaded already needs no second call to learn it.
_MOMENT = 0.02


class ModelServicer(PromotionMethods, ExportMethods, model_service_pb2_grpc.ModelServiceServicer):
    """Serves the catalog and the pool."""

    def __init__(
        self,
        catalog: Catalog,
        store: VersionStore,
        pool: ModelPool,
        operations: OperationManager,
        texts: TextModels,
        uploads: Uploads,
        jobs: DurableJobs,
        promoter: Promoter,
        exports: Exports,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._pool = pool
        self._operations = operations
        self._texts = texts
        self._uploads = uploads
        self._jobs = jobs
        self._promoter = promoter
        self._exports = exports

    async def GetModel(self, request: pb.GetModelRequest, _context: Any) -> model_pb2.Model:
        """One model."""
        record = self._catalog.model(ModelRef.parse(request.name, "name").model_id)
        return resources.model(record, self._pool)

    async def ListModels(
        self, request: pb.ListModelsRequest, _context: Any
    ) -> pb.ListModelsResponse:
        """All models, by id."""
        size = paging.size(request.page_size)
        after = paging.position(request.page_token, 1) or [""]
        found = self._catalog.models(size + 1, after[0])
        response = pb.ListModelsResponse(
            models=[resources.model(record, self._pool) for record in found[:size]]
        )
        if len(found) > size:
            response.next_page_token = paging.token(found[size - 1].model_id)
        return response

    async def GetModelVersion(
        self, request: pb.GetModelVersionRequest, _context: Any
    ) -> model_pb2.ModelVersion:
        """One version."""
        return resources.version(self._resolve(request.name), self._pool)

    async def ListModelVersions(
        self, request: pb.ListModelVersionsRequest, _context: Any
    ) -> pb.ListModelVersionsResponse:
        """Versions of a model, or of all."""
        size = paging.size(request.page_size)
        at = paging.position(request.page_token, 2) or ["", "0"]
        every = request.parent.endswith("-") and request.parent == "models/-"
        model_id = None if every else ModelRef.parse(request.parent, "parent").model_id
        if model_id is not None:
            self._catalog.model(model_id)  # not found is an error, no versions is not
        found = self._catalog.versions(model_id, size + 1, (at[0], paging.number(at[1])))
        response = pb.ListModelVersionsResponse(
            versions=[resources.version(record, self._pool) for record in found[:size]]
        )
        if len(found) > size:
            last = found[size - 1]
            response.next_page_token = paging.token(last.model_id, last.version)
        return response

    async def ListTensors(
        self, request: pb.ListTensorsRequest, _context: Any
    ) -> pb.ListTensorsResponse:
        """The weights of a version."""
        record = self._resolve(request.name)
        found = list_tensors(self._store, record.model_id, record.version)
        return pb.ListTensorsResponse(
            tensors=[pb.TensorInfo(name=t.name, shape=t.shape, dtype=t.dtype) for t in found]
        )

    async def DeleteModel(self, request: pb.DeleteModelRequest, _context: Any) -> empty_pb2.Empty:
        """Remove a model with all its versions."""
        model_id = ModelRef.parse(request.name, "name").model_id
        self._catalog.model(model_id)
        records = self._catalog.versions(model_id, 10_000)
        self._check_unneeded(records)
        for record in reversed(records):  # adapters before their base, which came first
            await self._release(record, force=request.force)
        self._check_unneeded(records)  # a job may have begun while it was unloaded
        self._catalog.delete_model(model_id)
        for record in records:
            self._store.delete(record.model_id, record.version)
        return empty_pb2.Empty()

    async def DeleteModelVersion(
        self, request: pb.DeleteModelVersionRequest, _context: Any
    ) -> empty_pb2.Empty:
        """Remove one version."""
        record = self._resolve(request.name)
        self._check_unneeded([record])
        await self._release(record, force=request.force)
        self._catalog.delete_version(record.model_id, record.version)
        self._store.delete(record.model_id, record.version)
        return empty_pb2.Empty()

    async def UploadModel(
        self, requests: AsyncIterator[pb.UploadModelRequest], _context: Any
    ) -> lro.Operation:
        """Take a model's files, then convert them."""
        return self._operation(await self._uploads.receive(requests))

    async def LoadModel(self, request: pb.LoadModelRequest, _context: Any) -> lro.Operation:
        """Make a version ready to answer."""
        record = self._resolve(request.name)
        pinned = ModelRef.parse(request.name, "name").version is not None
        dtype = convert.compute_dtype(request)
        keep_alive = None
        if request.HasField("keep_alive"):
            keep_alive = convert.seconds("keep_alive", request.keep_alive)

        async def estimate(_report: Report) -> bytes:
            return resources.packed(
                pb.LoadModelResponse(
                    version=resources.version(record, self._pool),
                    estimated_bytes=self._pool.stage.estimate(
                        record, dtype or self._pool.dtype_of(record)
                    ),
                )
            )

        async def work(report: Report) -> bytes:
            def progress(at: Loading) -> None:
                report(ProgressEvent(at.stage, at.completed, at.total, "tensors"))

            loaded, _ = await asyncio.gather(
                self._pool.load(record, keep_alive, dtype, progress), self._texts.warm(record)
            )
            remember(self._catalog, self._pool, record, pinned=pinned)
            return resources.packed(
                pb.LoadModelResponse(
                    version=resources.version(record, self._pool),
                    estimated_bytes=loaded.estimated,
                    resident_bytes_before=loaded.resident_before,
                    resident_bytes_loaded=loaded.resident_loaded,
                )
            )

        if request.validate_only:
            return await self._start("estimate-model", record, estimate, request, joins=False)
        return await self._start("load-model", record, work, request)

    async def UnloadModel(self, request: pb.UnloadModelRequest, _context: Any) -> lro.Operation:
        """End a version's process."""
        record = self._resolve(request.name)

        async def work(_report: Report) -> bytes:
            done = await self._pool.unload(
                record, force=request.force, on_end=lambda: self._texts.forget(record)
            )
            self._catalog.set_wanted(record.model_id, record.version, False)
            return resources.packed(
                pb.UnloadModelResponse(
                    resident_bytes_before=done.resident_before,
                    resident_bytes_loaded=done.resident_loaded,
                    resident_bytes_after=done.resident_after,
                )
            )

        return await self._start("unload-model", record, work, request)

    def _resolve(self, name: str) -> VersionRecord:
        return self._catalog.resolve(ModelRef.parse(name, "name"))

    def _check_unneeded(self, records: list[VersionRecord]) -> None:
        """Raise ModelInUse where an adapter that stays, or a job, needs one of these."""
        names = {record.name for record in records}
        used = names & self._jobs.reads()
        if used:
            raise ModelInUse(f"a job that has not ended needs {min(used)}; cancel it first")
        for other in self._catalog.versions(None, 1_000_000):
            if other.name in names:
                continue
            try:
                base = self._store.manifest(other.model_id, other.version).adapter_base
            except (DataCorrupt, UnsafeFile):  # nobody can load it, whatever it needs
                continue
            if base in names:
                raise ModelInUse(f"{other.name} is an adapter to {base}; remove it first")

    async def _release(self, record: VersionRecord, *, force: bool) -> None:
        """Make sure that a version can be deleted, and that no process holds it."""
        self._store.place(record.model_id, record.version)
        if self._pool.resident(record) is not None:
            if not force:
                raise ModelInUse(f"{record.name} is loaded; unload it first, or use force")
            await self._pool.unload(record, force=True)
        self._texts.forget(record)

    async def _start(
        self, kind: str, record: VersionRecord, work: Work, request: Any, *, joins: bool = True
    ) -> lro.Operation:
        """Start an operation; what is done within a moment comes back done."""
        started = self._operations.start(
            kind,
            record.name,
            work,
            request_id=request.request_id,
            payload_digest=convert.payload_digest(request),
            exclusive=joins,
        )
        return self._operation(await self._operations.wait(started.operation_id, _MOMENT))

    def _operation(self, record: Any) -> lro.Operation:
        return resources.operation(record, self._operations)
