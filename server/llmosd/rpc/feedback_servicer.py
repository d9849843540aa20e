"""llmos.v1.FeedbackService: translate, call, translate."""

import secrets
from pathlib import Path
from typing import Any, cast

import msgspec
from google.longrunning import operations_proto_pb2 as lro

from llmos.v1 import dataset_pb2, feedback_service_pb2_grpc
from llmos.v1 import feedback_service_pb2 as pb
from llmosd.errors import InvalidField
from llmosd.jobs.feedback.specs import Comparison, RateSpec, Ratings, RowsKind
from llmosd.operations.durable import DurableJobs
from llmosd.operations.manager import OperationManager, Report
from llmosd.rpc import convert, learning, resources
from llmosd.rpc.caller import Caller
from llmosd.rpc.feedback_book import FeedbackBook, Wish
from llmosd.rpc.learning import Learning, LearnSpec
from llmosd.rpc.newest import newest
from llmosd.rpc.queueing import Job, encoded, queued
from llmosd.rpc.recent import Recent, Remembered
from llmosd.store.catalog import Catalog
from llmosd.store.feedback import FeedbackRecord, Kind
from llmosd.store.names import ModelRef, dataset_name, model_name
from llmosd.store.records import now
from llmosd.supervisor.job_runner import JobRunner

_KINDS: dict[int, Kind] = {
    pb.FEEDBACK_KIND_UP: "UP",
    pb.FEEDBACK_KIND_DOWN: "DOWN",
    pb.FEEDBACK_KIND_EDIT: "EDIT",
    pb.FEEDBACK_KIND_BETTER: "BETTER",
    pb.FEEDBACK_KIND_TIE: "TIE",
    pb.FEEDBACK_KIND_WORSE: "WORSE",
}
ROWS: dict[int, RowsKind] = {
    dataset_pb2.DATASET_KIND_RATED: "rated",
    dataset_pb2.DATASET_KIND_PREFERENCE: "preference",
    dataset_pb2.DATASET_KIND_PAIRS: "pairs",
}
_OUTCOMES: dict[str, float] = {"BETTER": 1.0, "TIE": 0.5, "WORSE": 0.0}
_EVERY = 1_000_000


class FeedbackServicer(feedback_service_pb2_grpc.FeedbackServiceServicer):
    """Serves the book."""

    def __init__(
        self,
        catalog: Catalog,
        book: FeedbackBook,
        recent: Recent,
        operations: OperationManager,
        runner: JobRunner,
        jobs: DurableJobs,
        scratch: Path,
    ) -> None:
        """`scratch` is a folder for files that are gone when an export has ended."""
        self._catalog = catalog
        self._book = book
        self._recent = recent
        self._operations = operations
        self._runner = runner
        self._jobs = jobs
        self._scratch = scratch

    def register(self, learns: Learning) -> None:
        """Say what becomes of what was learned."""
        self._jobs.register(learning.KIND, learns.publish)

    async def CreateFeedback(self, request: pb.CreateFeedbackRequest, context: Any) -> pb.Feedback:
        """Keep a verdict."""
        tenant = Caller.of(context).tenant
        about = self._recent.get(request.generation, tenant)
        values = {"answer": about.answer(request.choice), "other_answer": "", "other_version": ""}
        if request.other_generation:
            other = self._recent.get(request.other_generation, tenant)
            _check_comparable(about, other)
            values["other_answer"] = other.answer(request.other_choice, "other_choice")
            values["other_version"] = other.record.name
        texts: dict[str, Any] = {
            "prompt": about.prompt,
            "answer": _text(values["answer"]),
            "other_answer": _text(values["other_answer"]),
            "edit": _text(request.edit),
            "comment": request.comment,
        }
        record = FeedbackRecord(
            feedback_id=secrets.token_hex(8),
            create_time=now(),
            generation=request.generation,
            model_id=about.record.model_id,
            version=about.record.version,
            model_digest=about.record.digest,
            kind=_KINDS[request.kind],
            other_version=values["other_version"],
            consent=request.consent,
            tenant=tenant,
            subject=request.subject,
            **(texts if request.consent else {}),
        )
        self._book.table.add(record)
        return _message(record)

    async def ListFeedback(
        self, request: pb.ListFeedbackRequest, _context: Any
    ) -> pb.ListFeedbackResponse:
        """A page, the newest first."""
        found, token = newest(self._book.table, self._catalog, request)
        return pb.ListFeedbackResponse(feedback=map(_message, found), next_page_token=token)

    async def DeleteFeedback(
        self, request: pb.DeleteFeedbackRequest, _context: Any
    ) -> pb.DeleteFeedbackResponse:
        """Forget one, or all of a subject."""
        if request.name:
            found = [self._book.table.get(request.name.removeprefix("feedback/"))]
        else:
            found = self._book.table.of_subject(request.subject)
        gone = await self._book.forget(found)
        return pb.DeleteFeedbackResponse(
            deleted_count=gone.deleted, removed_datasets=gone.datasets, marked_versions=gone.marked
        )

    async def ExportFeedback(
        self, request: pb.ExportFeedbackRequest, _context: Any
    ) -> lro.Operation:
        """Make a dataset version."""
        wish = Wish(
            model_id=ModelRef.parse(request.model).model_id if request.model else "",
            dataset_id=request.dataset_id,
            kind=ROWS[request.kind],
            max_tenant_share=convert.given_or(request, "max_tenant_share", 0.5),
            replay=request.replay_dataset,
            replay_share=convert.given_or(request, "replay_share", 0.3),
        )

        async def work(_report: Report) -> bytes:
            scratch = self._scratch / secrets.token_hex(8)
            scratch.mkdir(parents=True, mode=0o750)
            packed, _ = await self._book.export(wish, scratch)
            return packed

        record = self._operations.start(
            "export-feedback",
            dataset_name(request.dataset_id),
            work,
            request_id=request.request_id,
            payload_digest=convert.payload_digest(request),
        )
        return resources.operation(record, self._operations)

    async def RateModels(
        self, request: pb.RateModelsRequest, _context: Any
    ) -> pb.RateModelsResponse:
        """Ratings of versions by people's comparisons."""
        wanted = {self._catalog.resolve(ModelRef.parse(each)).name for each in request.versions}
        comparisons = [
            each
            for each in map(_comparison, self._book.table.newest(_EVERY, 0))
            if each is not None and (not wanted or {each.first, each.second} <= wanted)
        ]
        spec = RateSpec(comparisons=comparisons)
        if request.HasField("resamples"):
            spec = msgspec.structs.replace(spec, resamples=request.resamples)
        response = pb.RateModelsResponse(comparison_count=len(comparisons))
        if not comparisons:
            return response
        made = await self._runner.run("rate models", spec, Ratings)
        for each in made.ratings:
            response.ratings.add(
                version=each.version,
                rating=each.rating,
                low=each.low,
                high=each.high,
                wins=each.wins,
                comparison_count=each.comparisons,
            )
        if made.agreement is not None:
            response.agreement = made.agreement
        return response

    async def LearnFromFeedback(
        self, request: pb.LearnFromFeedbackRequest, context: Any
    ) -> lro.Operation:
        """Queue a job that learns."""

        def make() -> Job:
            live = self._catalog.resolve(ModelRef.parse(request.model))
            spec = LearnSpec(
                request=encoded(request),
                model_id=live.model_id,
                live=live.name,
                tenant=Caller.of(context).tenant,
            )
            return Job(model_name(live.model_id), spec, [live.name])

        return queued(self._operations, learning.KIND, request, make)


def _text(answer: str) -> str:
    """What a dataset's row may hold: no NUL character, which a network may well say."""
    return answer.replace("\0", "\ufffd")


def _check_comparable(one: Remembered, other: Remembered) -> None:
    if one.prompt != other.prompt:
        raise InvalidField.of("other_generation", "answers another prompt")
    if one.record.name == other.record.name and one is other:
        raise InvalidField.of("other_generation", "is the same generation")


def _comparison(record: FeedbackRecord) -> Comparison | None:
    if record.kind not in _OUTCOMES or record.other_version == record.model_version:
        return None
    # Without a subject every verdict is another person's.
    rater = f"{record.tenant}/{record.subject or record.feedback_id}"
    return Comparison(
        record.model_version,
        record.other_version,
        _OUTCOMES[record.kind],
        rater,
        f"{record.prompt}\0{record.answer}\0{record.other_answer}",
    )


def _message(record: FeedbackRecord) -> pb.Feedback:
    return pb.Feedback(
        name=record.name,
        create_time=convert.timestamp(record.create_time),
        generation=record.generation,
        model_version=record.model_version,
        model_digest=record.model_digest,
        kind=cast("Any", next(n for n, kind in _KINDS.items() if kind == record.kind)),
        other_model_version=record.other_version,
        prompt_json=record.prompt,
        answer=record.answer,
        other_answer=record.other_answer,
        edit=record.edit,
        comment=record.comment,
        consent=record.consent,
        tenant=record.tenant,
        subject=record.subject,
    )
