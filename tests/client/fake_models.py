# ruff: noqa: N802 - the contract's names
"""The fake daemon's models and operations."""

import hashlib

import grpc
from fake_status import abort, make_status
from google.longrunning import operations_proto_pb2
from google.protobuf import empty_pb2

from llmos.v1 import model_pb2, model_service_pb2, operation_service_pb2


class FakeModels:
    """Mix-in with ModelService, OperationService and google.longrunning.Operations."""

    def __init__(self):
        super().__init__()
        self.versions = {}  # name -> ModelVersion
        self.uploads = []  # (header, [bytes])
        self.operations = {}
        self.events = {}
        self.drop_watch_after = []  # one number per connection that is to break
        self.page_size = 100

    def install(self, model, source="", license_="", number=1, state="UNLOADED"):
        version = model_pb2.ModelVersion(
            name=f"models/{model}/versions/{number}",
            architecture="llama",
            parameter_count=134_515_008,
            context_length=8192,
            vocabulary_size=49152,
            dtype="float32",
            byte_size=538_000_000,
            digest="sha256:" + "ab" * 32,
            license=license_,
            source=source,
            chat=True,
        )
        version.create_time.FromSeconds(1_700_000_000)
        version.residency.state = model_pb2.Residency.State.Value(f"STATE_{state}")
        self.versions[version.name] = version
        return version

    def _model(self, model_id):
        versions = [v for v in self.versions.values() if v.name.split("/")[1] == model_id]
        live = versions[-1]
        return model_pb2.Model(
            name=f"models/{model_id}",
            create_time=live.create_time,
            aliases={"live": live.name},
            live=live,
            version_count=len(versions),
        )

    def GetModel(self, request, context):
        self.check("GetModel", request, context)
        return self._model(self.find(request.name, context).name.split("/")[1])

    def GetModelVersion(self, request, context):
        self.check("GetModelVersion", request, context)
        return self.find(request.name, context)

    def _page(self, items, token):
        start = int(token or 0)
        end = start + self.page_size
        return items[start:end], str(end) if end < len(items) else ""

    def ListModels(self, request, context):
        self.check("ListModels", request, context)
        ids = list(dict.fromkeys(v.name.split("/")[1] for v in self.versions.values()))
        page, token = self._page([self._model(i) for i in ids], request.page_token)
        return model_service_pb2.ListModelsResponse(models=page, next_page_token=token)

    def ListModelVersions(self, request, context):
        self.check("ListModelVersions", request, context)
        parent = request.parent.removeprefix("models/")
        if parent != "-":
            self.find(parent, context)
        every = [v for v in self.versions.values() if parent in ("-", v.name.split("/")[1])]
        page, token = self._page(every, request.page_token)
        return model_service_pb2.ListModelVersionsResponse(versions=page, next_page_token=token)

    def DeleteModel(self, request, context):
        self.check("DeleteModel", request, context)
        model = self.find(request.name, context).name.split("/")[1]
        self.versions = {k: v for k, v in self.versions.items() if k.split("/")[1] != model}
        return empty_pb2.Empty()

    def DeleteModelVersion(self, request, context):
        self.check("DeleteModelVersion", request, context)
        del self.versions[self.find(request.name, context).name]
        return empty_pb2.Empty()

    def UploadModel(self, requests, context):
        header = next(requests).header
        self.check("UploadModel", header, context)
        contents = [bytearray() for _ in header.files]
        for part in requests:
            contents[part.chunk.file] += part.chunk.data
        for file, content in zip(header.files, contents, strict=True):
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            if (file.byte_size, file.digest) != (len(content), digest):
                abort(context, make_status("DATA_LOSS", f"{file.name} differs", "DATA_CORRUPT"))
        self.uploads.append((header, [bytes(c) for c in contents]))
        number = 1 + sum(v.split("/")[1] == header.model_id for v in self.versions)
        version = self.install(header.model_id, header.source, header.license, number)
        return self.operate("upload-model", version.name, version)

    def LoadModel(self, request, context):
        self.check("LoadModel", request, context)
        version = self.find(request.name, context)
        if request.validate_only:
            response = model_service_pb2.LoadModelResponse(
                version=version, estimated_bytes=600_000_000
            )
            return self.operate("load-model", version.name, response, done=True)
        residency = version.residency
        already = residency.state == model_pb2.Residency.STATE_LOADED
        residency.state = model_pb2.Residency.STATE_LOADED
        residency.pid, residency.runner, residency.dtype = 4242, "torch-cpu", "float32"
        residency.resident_bytes = 610_000_000
        residency.kv_blocks_total, residency.kv_blocks_used = 512, 128
        response = model_service_pb2.LoadModelResponse(
            version=version,
            estimated_bytes=600_000_000,
            resident_bytes_before=90_000_000,
            resident_bytes_loaded=700_000_000,
        )
        return self.operate("load-model", version.name, response, done=already)

    def UnloadModel(self, request, context):
        self.check("UnloadModel", request, context)
        version = self.find(request.name, context)
        version.residency.Clear()
        version.residency.state = model_pb2.Residency.STATE_UNLOADED
        response = model_service_pb2.UnloadModelResponse(
            resident_bytes_before=90_000_000,
            resident_bytes_loaded=700_000_000,
            resident_bytes_after=91_000_000,
        )
        return self.operate("unload-model", version.name, response)

    # Operations

    def operate(self, kind, target, response=None, *, done=False, error=None):
        """Make an operation whose events are: two stages, then the end."""
        name = f"operations/op-{len(self.operations) + 1}"
        metadata = operation_service_pb2.OperationMetadata(
            kind=kind, target=target, state="STATE_RUNNING"
        )
        events = [
            operation_service_pb2.OperationEvent(
                progress={"stage": "convert", "completed": n, "total": 2, "unit": "tensors"}
            )
            for n in (1, 2)
        ]
        ended = operations_proto_pb2.Operation(name=name, done=True)
        metadata.state = metadata.STATE_FAILED if error else metadata.STATE_SUCCEEDED
        ended.metadata.Pack(metadata)
        if error:
            ended.error.CopyFrom(error)
        else:
            ended.response.Pack(response)
        events.append(operation_service_pb2.OperationEvent(done=ended))
        for sequence, event in enumerate(events, 1):
            event.sequence = sequence
        self.events[name] = events
        self.operations[name] = ended
        if done:
            return ended
        metadata.state = metadata.STATE_RUNNING
        running = operations_proto_pb2.Operation(name=name)
        running.metadata.Pack(metadata)
        return running

    def WatchOperation(self, request, context):
        self.check("WatchOperation", request, context)
        limit = self.drop_watch_after.pop(0) if self.drop_watch_after else None
        yield operation_service_pb2.OperationEvent(heartbeat={})
        for count, event in enumerate(
            e for e in self.events[request.name] if e.sequence > request.after_sequence
        ):
            if count == limit:
                context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
            yield event

    def GetOperation(self, request, context):
        self.check("GetOperation", request, context)
        return self.operations[request.name]

    def ListOperations(self, request, context):
        self.check("ListOperations", request, context)
        return operations_proto_pb2.ListOperationsResponse(operations=self.operations.values())

    def CancelOperation(self, request, context):
        self.check("CancelOperation", request, context)
        return empty_pb2.Empty()

    def DeleteOperation(self, request, context):
        self.check("DeleteOperation", request, context)
        del self.operations[request.name]
        return empty_pb2.Empty()
