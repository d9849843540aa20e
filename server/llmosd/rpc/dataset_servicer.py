"""llmos.v1.DatasetService: translate, call, translate."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from google.longrunning import operations_proto_pb2 as lro
from google.protobuf import empty_pb2

from llmos.v1 import dataset_pb2, dataset_service_pb2_grpc
from llmos.v1 import dataset_service_pb2 as pb
from llmosd.operations.manager import OperationManager
from llmosd.rpc import convert_datasets, paging, resources
from llmosd.rpc.datasets import Datasets
from llmosd.rpc.preprocessing import Preprocessing
from llmosd.store.datasets import DatasetReader, Split
from llmosd.store.names import DatasetRef
from llmosd.store.records import DatasetVersionRecord

# Of the rows of a page, so that an answer stays small; one row may be longer.
_PAGE_BYTES = 1024 * 1024
_MOST_VERSIONS = 1_000_000


class DatasetServicer(dataset_service_pb2_grpc.DatasetServiceServicer):
    """Serves the datasets."""

    def __init__(
        self, datasets: Datasets, preprocessing: Preprocessing, operations: OperationManager
    ) -> None:
        self._datasets = datasets
        self._preprocessing = preprocessing
        self._table, self._store = datasets.table, datasets.store
        self._operations = operations

    async def UploadDataset(
        self, requests: AsyncIterator[pb.UploadDatasetRequest], _context: Any
    ) -> lro.Operation:
        """Take a dataset's files, then check them."""
        record = await self._datasets.receive(requests)
        return resources.operation(record, self._operations)

    async def GetDataset(self, request: pb.GetDatasetRequest, _context: Any) -> dataset_pb2.Dataset:
        """One dataset."""
        record = self._table.dataset(DatasetRef.parse(request.name, "name").dataset_id)
        return convert_datasets.dataset(record, self._store)

    async def ListDatasets(
        self, request: pb.ListDatasetsRequest, _context: Any
    ) -> pb.ListDatasetsResponse:
        """All datasets, by id."""
        size = paging.size(request.page_size)
        after = paging.position(request.page_token, 1) or [""]
        found = self._table.datasets(size + 1, after[0])
        response = pb.ListDatasetsResponse(
            datasets=[convert_datasets.dataset(record, self._store) for record in found[:size]]
        )
        if len(found) > size:
            response.next_page_token = paging.token(found[size - 1].dataset_id)
        return response

    async def GetDatasetVersion(
        self, request: pb.GetDatasetVersionRequest, _context: Any
    ) -> dataset_pb2.DatasetVersion:
        """One version."""
        return convert_datasets.version(self._resolve(request.name), self._store)

    async def ListDatasetVersions(
        self, request: pb.ListDatasetVersionsRequest, _context: Any
    ) -> pb.ListDatasetVersionsResponse:
        """Versions of a dataset, or of all."""
        size = paging.size(request.page_size)
        at = paging.position(request.page_token, 2) or ["", "0"]
        every = request.parent == "datasets/-"
        dataset_id = None if every else DatasetRef.parse(request.parent, "parent").dataset_id
        found = self._table.versions(dataset_id, size + 1, (at[0], paging.number(at[1])))
        response = pb.ListDatasetVersionsResponse(
            versions=[convert_datasets.listed(record, self._store) for record in found[:size]]
        )
        if len(found) > size:
            last = found[size - 1]
            response.next_page_token = paging.token(last.dataset_id, last.version)
        return response

    async def DeleteDataset(
        self, request: pb.DeleteDatasetRequest, _context: Any
    ) -> empty_pb2.Empty:
        """Remove a dataset with all its versions."""
        dataset_id = DatasetRef.parse(request.name, "name").dataset_id
        records = self._table.versions(dataset_id, _MOST_VERSIONS)
        self._datasets.check_unused(records)
        self._table.delete_dataset(dataset_id)
        self._datasets.delete(records)
        return empty_pb2.Empty()

    async def DeleteDatasetVersion(
        self, request: pb.DeleteDatasetVersionRequest, _context: Any
    ) -> empty_pb2.Empty:
        """Remove one version."""
        record = self._resolve(request.name)
        self._datasets.check_unused([record])
        self._table.delete_version(record.dataset_id, record.version)
        self._datasets.delete([record])
        return empty_pb2.Empty()

    async def ListExamples(
        self, request: pb.ListExamplesRequest, _context: Any
    ) -> pb.ListExamplesResponse:
        """Rows of a version, in order."""
        record = self._resolve(request.parent, "parent")
        at = paging.position(request.page_token, 1)
        start = paging.number(at[0]) if at else 0
        size, split = paging.size(request.page_size), convert_datasets.SPLITS[request.split]
        # Opened here, so that a version that is deleted meanwhile is read to the page's end.
        with self._store.open(record.dataset_id, record.version) as reader:
            return await asyncio.to_thread(_examples, reader, split, start, size)

    async def PreprocessDataset(
        self, request: pb.PreprocessDatasetRequest, _context: Any
    ) -> lro.Operation:
        """Make a version by a recipe."""
        return self._preprocessing.start(request)

    def _resolve(self, name: str, field: str = "name") -> DatasetVersionRecord:
        return self._datasets.locate(name, field)[0]


def _examples(
    reader: DatasetReader, split: Split | None, start: int, size: int
) -> pb.ListExamplesResponse:
    """A page of rows, ended early where they are long."""
    response = pb.ListExamplesResponse()
    taken = 0
    for index in _indices(reader, split, start):
        line = reader.line(index)
        taken += len(line)
        if len(response.examples) == size or (response.examples and taken > _PAGE_BYTES):
            response.next_page_token = paging.token(index)
            break
        example = convert_datasets.example(index, reader.split_of(index), line)
        response.examples.append(example)
    return response


def _indices(reader: DatasetReader, split: Split | None, start: int) -> Iterator[int]:
    return iter(range(start, len(reader))) if split is None else reader.indices(split, start)
