"""EvaluateModel: the examples of datasets and suites to a version, its answers to figures."""

import asyncio
import time
from base64 import b64decode, b64encode
from pathlib import Path

import msgspec

from llmos.v1 import evaluation_pb2, priority_pb2
from llmos.v1 import evaluation_service_pb2 as pb
from llmosd import device
from llmosd.jobs.context import JobContext
from llmosd.jobs.evaluating.specs import (
    OUTPUTS,
    Example,
    MeasureSpec,
    Output,
    PartSpec,
    Prepared,
    PrepareSpec,
    Report,
    rows_file,
)
from llmosd.rpc import convert, convert_evaluations, resources
from llmosd.rpc.asking import Asker, Respondent, Took
from llmosd.rpc.caller import Caller
from llmosd.rpc.generator import Generator
from llmosd.rpc.patience import ROW_FAULTS, Patience
from llmosd.rpc.queueing import decoded
from llmosd.rpc.row_log import RowLog, side_by_side
from llmosd.rpc.scoring_servicer import ScoringServicer
from llmosd.rpc.suboperations import told
from llmosd.rpc.text_models import TextModels
from llmosd.store.catalog import Catalog
from llmosd.store.evaluations import EvaluationFolders, EvaluationRecord
from llmosd.store.files import write_durably
from llmosd.store.names import ModelRef
from llmosd.store.records import now
from llmosd.store.run_directory import OUT, Order, RunDirectory
from llmosd.supervisor.job_runner import JobRunner
from llmosd.supervisor.pool import ModelPool

KIND = "evaluate-model"
_PREPARED = "prepared.json"
_JUDGED = "evaluation"
_CONCURRENCY = 32
_RESAMPLES = 1000
_CONFIDENCE = 0.95


class EvaluationSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked: the request as base64, its names resolved to versions.

    `model` and `digest` are of the version that is judged, or "": then `answers` names the dataset
    of the answers, and `answers_folder` is its folder.
    """

    request: str
    parts: list[PartSpec]
    model: str = ""
    digest: str = ""
    head: str = ""
    answers: str = ""
    answers_folder: str = ""
    tenant: str = ""


class EvaluationDone(msgspec.Struct, frozen=True, kw_only=True):
    """The report, and a serialized EvaluationCost as base64."""

    report: Report
    cost: str = ""


class Evaluations:
    """Runs evaluations, and publishes what they found."""

    def __init__(
        self,
        catalog: Catalog,
        folders: EvaluationFolders,
        pool: ModelPool,
        jobs: JobRunner,
        generator: Generator,
        scoring: ScoringServicer,
        texts: TextModels,
    ) -> None:
        self._catalog = catalog
        self._folders = folders
        self._pool = pool
        self._jobs = jobs
        self._generator = generator
        self._scoring = scoring
        self._texts = texts

    async def run(self, order: Order, context: JobContext) -> EvaluationDone:
        """Ask what has not been asked yet, and judge; see inside_jobs."""
        spec = msgspec.json.decode(order.job, type=EvaluationSpec)
        request = decoded(pb.EvaluateModelRequest, spec.request)
        out = context.folder / OUT
        prepared = await self._prepared(spec, request, out, context)
        cost = b""
        if spec.model:
            cost = await self._ask(spec, request, prepared, out, context)
        judged = out / _JUDGED
        judged.mkdir(exist_ok=True, mode=0o750)
        measure = MeasureSpec(
            parts=prepared.parts,
            work=str(out),
            output=str(judged),
            resamples=request.resamples if request.HasField("resamples") else _RESAMPLES,
            confidence=request.confidence if request.HasField("confidence") else _CONFIDENCE,
            seed=request.seed,
        )
        report = await self._jobs.run("measure", measure, Report, told(context))
        return EvaluationDone(report=report, cost=b64encode(cost).decode())

    async def publish(self, run: RunDirectory, result: bytes) -> bytes:
        """Keep the evaluation under the operation's ID."""
        done = msgspec.json.decode(result, type=EvaluationDone)
        spec = msgspec.json.decode(run.order().job, type=EvaluationSpec)
        identifier = run.path.name
        ref = ModelRef.parse(spec.model) if spec.model else ModelRef("", 0)
        created = now()
        evaluation = evaluation_pb2.Evaluation(
            name=f"evaluations/{identifier}",
            create_time=convert.timestamp(created),
            model_version=spec.model,
            model_digest=spec.digest,
            answers=spec.answers,
            results=[convert_evaluations.result(each) for each in done.report.results],
        )
        if done.cost:
            evaluation.cost.ParseFromString(b64decode(done.cost))
        if identifier not in self._catalog.evaluations.names():
            await asyncio.to_thread(self._folders.publish, identifier, run.path / OUT / _JUDGED)
            record = EvaluationRecord(
                evaluation_id=identifier,
                model_id=ref.model_id,
                version=ref.version or 0,
                create_time=created,
                summary=evaluation.SerializeToString(deterministic=True),
            )
            self._catalog.evaluations.add(record)
        return resources.packed(evaluation)

    async def _prepared(
        self,
        spec: EvaluationSpec,
        request: pb.EvaluateModelRequest,
        out: Path,
        context: JobContext,
    ) -> Prepared:
        """The examples, chosen once: a job that goes on asks the same."""
        path = out / _PREPARED
        if path.exists():
            return msgspec.json.decode(path.read_bytes(), type=Prepared)
        prepare = PrepareSpec(
            parts=spec.parts,
            output=str(out),
            head=spec.head,
            answers=spec.answers_folder,
            most=request.max_examples,
            seed=request.seed,
        )
        prepared = await self._jobs.run("prepare", prepare, Prepared, told(context))
        write_durably(out, _PREPARED, msgspec.json.encode(prepared))
        return prepared

    async def _ask(
        self,
        spec: EvaluationSpec,
        request: pb.EvaluateModelRequest,
        prepared: Prepared,
        out: Path,
        context: JobContext,
    ) -> bytes:
        """Ask all examples; what that took, as a serialized EvaluationCost."""
        record = self._catalog.resolve(ModelRef.parse(spec.model))
        count = request.concurrency or _CONCURRENCY
        respondent = Respondent(
            record,
            self._generator,
            self._scoring,
            self._texts,
            Caller(spec.tenant, None),
            request.priority or priority_pb2.PRIORITY_LOW,
            Patience(self._catalog, self._pool, context, spec.model),
            asyncio.Semaphore(count),
            Took(),
        )
        context.report("load")
        # What loading takes says nothing about the answers.
        await respondent.patience(lambda: self._pool.acquire(record))
        await self._texts.warm(record)
        began = time.monotonic()
        total = sum(part.examples for part in prepared.parts)
        with RowLog(out / OUTPUTS, Output) as log:
            known = {(line.part, line.at) for line in log.lines}
            try:
                for at, part in enumerate(prepared.parts):
                    rows = _examples(out / rows_file(at))
                    asker = Asker(part, request.parts[at].settings, respondent)
                    todo = [(at, place) for place in range(part.examples)]

                    async def work(
                        item: tuple[int, int],
                        asker: Asker = asker,
                        rows: list[bytes] = rows,
                    ) -> None:
                        example = msgspec.json.decode(rows[item[1]], type=Example)
                        log.add(await _output(asker, example, item))
                        known.add(item)
                        context.report("ask", len(known), total, "examples")

                    await side_by_side((item for item in todo if item not in known), work, count)
            finally:
                log.sync()
        return self._cost(respondent, time.monotonic() - began).SerializeToString()

    def _cost(self, to: Respondent, seconds: float) -> evaluation_pb2.EvaluationCost:
        took, resident = to.took, self._pool.resident(to.record)
        handle = resident.handle if resident is not None else None
        return convert_evaluations.cost(
            seconds,
            took.prompt_tokens,
            took.completion_tokens,
            took.first_tokens,
            took.latencies,
            device.resident_bytes(handle.pid) if handle is not None else 0,
            resident.dtype if resident is not None else "",
        )


async def _output(asker: Asker, example: Example, item: tuple[int, int]) -> Output:
    part, at = item
    try:
        return Output(part=part, at=at, said=await asker(example.input))
    except ROW_FAULTS as error:
        return Output(part=part, at=at, error=error.message)


def _examples(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()
