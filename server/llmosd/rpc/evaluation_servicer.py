"""llmos.v1.EvaluationService: translate, queue, translate."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from google.longrunning import operations_proto_pb2 as lro
from google.protobuf import empty_pb2

from llmos.v1 import evaluation_pb2, evaluation_service_pb2_grpc
from llmos.v1 import evaluation_service_pb2 as pb
from llmosd.errors import InvalidField
from llmosd.jobs.evaluating.specs import CompareSpec, Differences, Judged, examples_file
from llmosd.operations.durable import DurableJobs
from llmosd.operations.manager import OperationManager
from llmosd.rpc import convert_evaluations, paging
from llmosd.rpc.caller import Caller
from llmosd.rpc.datasets import Datasets
from llmosd.rpc.evaluations import KIND, Evaluations, EvaluationSpec
from llmosd.rpc.heads import Heads
from llmosd.rpc.newest import newest
from llmosd.rpc.queueing import Job, encoded, queued
from llmosd.store.catalog import Catalog
from llmosd.store.evaluations import EvaluationFolders, EvaluationRecord
from llmosd.store.names import ModelRef
from llmosd.store.suites import suites
from llmosd.supervisor.job_runner import JobRunner

# Of the examples of a page, so that an answer stays small; one example may be longer.
_PAGE_BYTES = 1024 * 1024


class EvaluationServicer(evaluation_service_pb2_grpc.EvaluationServiceServicer):
    """Queues evaluations, and serves those there are."""

    def __init__(
        self,
        catalog: Catalog,
        folders: EvaluationFolders,
        heads: Heads,
        datasets: Datasets,
        operations: OperationManager,
        jobs: DurableJobs,
        runner: JobRunner,
        evaluations: Evaluations,
    ) -> None:
        self._catalog = catalog
        self._table = catalog.evaluations
        self._folders = folders
        self._heads = heads
        self._datasets = datasets
        self._operations = operations
        self._runner = runner
        jobs.register(KIND, evaluations.publish)

    async def EvaluateModel(self, request: pb.EvaluateModelRequest, context: Any) -> lro.Operation:
        """Queue a job."""

        def make() -> Job:
            spec, used = self._spec(request, Caller.of(context).tenant)
            return Job(spec.model or spec.answers, spec, used)

        return queued(self._operations, KIND, request, make)

    async def GetEvaluation(
        self, request: pb.GetEvaluationRequest, _context: Any
    ) -> evaluation_pb2.Evaluation:
        """One evaluation."""
        return _message(self._find(request.name))

    async def ListEvaluations(
        self, request: pb.ListEvaluationsRequest, _context: Any
    ) -> pb.ListEvaluationsResponse:
        """Evaluations, the newest first."""
        found, token = newest(self._table, self._catalog, request)
        return pb.ListEvaluationsResponse(evaluations=map(_message, found), next_page_token=token)

    async def DeleteEvaluation(
        self, request: pb.DeleteEvaluationRequest, _context: Any
    ) -> empty_pb2.Empty:
        """Remove one."""
        record = self._find(request.name)
        self._table.delete(record.evaluation_id)
        await asyncio.to_thread(self._folders.delete, record.evaluation_id)
        return empty_pb2.Empty()

    async def ListEvaluationExamples(
        self, request: pb.ListEvaluationExamplesRequest, _context: Any
    ) -> pb.ListEvaluationExamplesResponse:
        """A page of what was said."""
        record = self._find(request.parent)
        names = [result.name for result in _message(record).results]
        name = request.result or names[0]
        if name not in names:
            raise InvalidField.of("result", f"there is none; there are {', '.join(names)}")
        at = paging.position(request.page_token, 1)
        start = paging.number(at[0]) if at else 0
        path = self._folders.path(record.evaluation_id) / examples_file(names.index(name))
        return await asyncio.to_thread(_page, path, start, paging.size(request.page_size))

    async def CompareEvaluations(
        self, request: pb.CompareEvaluationsRequest, _context: Any
    ) -> pb.CompareEvaluationsResponse:
        """Two evaluations against each other."""
        folders = [
            str(self._folders.path(self._find(getattr(request, field)).evaluation_id))
            for field in ("first", "second")
        ]
        spec = CompareSpec(first=folders[0], second=folders[1])
        for field in ("resamples", "confidence"):
            if request.HasField(field):
                spec = msgspec.structs.replace(spec, **{field: getattr(request, field)})
        found = await self._runner.run("compare", spec, Differences)
        if not found.differences:
            raise InvalidField.of(
                "second", "has no result of the same examples as first, by the same name"
            )
        return convert_evaluations.differences(found)

    async def ListSuites(
        self, _request: pb.ListSuitesRequest, _context: Any
    ) -> pb.ListSuitesResponse:
        """The suites there are."""
        return pb.ListSuitesResponse(suites=map(convert_evaluations.suite, suites()))

    def _spec(
        self, request: pb.EvaluateModelRequest, tenant: str
    ) -> tuple[EvaluationSpec, list[str]]:
        """What the job is given, and the names of what it reads."""
        parts = convert_evaluations.parts(request, self._datasets)
        used = [part.data for part in parts if part.folder]
        if request.model:
            record = self._catalog.resolve(ModelRef.parse(request.model))
            spec = EvaluationSpec(
                request=encoded(request),
                parts=parts,
                model=record.name,
                digest=record.digest,
                head=self._heads.config(record).head,
                tenant=tenant,
            )
            return spec, [*used, record.name]
        answers, folder = self._datasets.locate(request.answers, "answers")
        spec = EvaluationSpec(
            request=encoded(request),
            parts=parts,
            answers=answers.name,
            answers_folder=str(folder),
            tenant=tenant,
        )
        return spec, [*used, answers.name]

    def _find(self, name: str) -> EvaluationRecord:
        return self._table.get(name.removeprefix("evaluations/"))


def _message(record: EvaluationRecord) -> evaluation_pb2.Evaluation:
    return evaluation_pb2.Evaluation.FromString(record.summary)


def _page(path: Path, start: int, size: int) -> pb.ListEvaluationExamplesResponse:
    """Examples from a place in the file, ended early where they are long."""
    response = pb.ListEvaluationExamplesResponse()
    with path.open("rb") as file:
        file.seek(start)
        taken = 0
        while len(response.examples) < size and taken < _PAGE_BYTES:
            line = file.readline()
            if not line:
                return response
            taken += len(line)
            judged = msgspec.json.decode(line, type=Judged)
            response.examples.append(convert_evaluations.example(judged, msgspec.json.encode))
        if file.read(1):
            response.next_page_token = paging.token(start + taken)
    return response
