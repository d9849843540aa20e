"""BatchGenerate: a dataset's rows to a model, its answers to another dataset."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from llmos.v1 import generation_service_pb2 as pb
from llmos.v1 import priority_pb2
from llmosd.errors import InvalidField
from llmosd.jobs.context import JobContext
from llmosd.rpc.caller import Caller
from llmosd.rpc.datasets import Datasets
from llmosd.rpc.generator import Generator
from llmosd.rpc.patience import ROW_FAULTS, Patience
from llmosd.rpc.prompts import ask, question
from llmosd.rpc.queueing import decoded, encoded
from llmosd.rpc.row_log import RowLog, read_log, side_by_side
from llmosd.store.catalog import Catalog
from llmosd.store.datasets import DatasetReader
from llmosd.store.names import DatasetRef
from llmosd.store.run_directory import OUT, Order, RunDirectory
from llmosd.supervisor.pool import ModelPool

KIND = "batch-generate"
ANSWERS = "answers.jsonl"
_CONCURRENCY = 32
_NOTHING = "the model answered with nothing"
# Rows that could not be answered and are told one by one; the rest are counted.
_MOST_WARNINGS = 8


class BatchSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked: the request as base64, its names resolved to versions."""

    request: str
    dataset: str
    model: str
    chat: bool
    tenant: str = ""


class BatchResult(msgspec.Struct, frozen=True):
    """How many rows were answered, and how many could not be."""

    answered: int
    failed: int


class _Answer(msgspec.Struct, frozen=True):
    """A line of answers.jsonl: an answer, or why there is none."""

    row: int
    text: str = ""
    error: str = ""


def batch_spec(
    request: pb.BatchGenerateRequest, dataset: str, model: str, tenant: str, *, chat: bool
) -> BatchSpec:
    """What run() is given."""
    return BatchSpec(
        request=encoded(request), dataset=dataset, model=model, tenant=tenant, chat=chat
    )


class Batches:
    """Runs batches, and publishes what they made."""

    def __init__(
        self, generator: Generator, datasets: Datasets, catalog: Catalog, pool: ModelPool
    ) -> None:
        self._generator = generator
        self._datasets = datasets
        self._catalog = catalog
        self._pool = pool

    async def run(self, order: Order, context: JobContext) -> BatchResult:
        """Answer the rows that have no answer yet; see inside_jobs."""
        spec = msgspec.json.decode(order.job, type=BatchSpec)
        request = decoded(pb.BatchGenerateRequest, spec.request)
        patience = Patience(self._catalog, self._pool, context, spec.model)
        path = context.folder / OUT / ANSWERS
        with self._open(spec.dataset) as reader, RowLog(path, _Answer) as log:
            tally = _Tally(log.lines)

            async def work(row: int) -> None:
                prompt = _prompt(reader.row(row), spec, request)
                answer = await self._answered(row, prompt, Caller(spec.tenant, None), patience)
                log.add(answer)
                tally.add(answer)
                if answer.error and tally.failed <= _MOST_WARNINGS:
                    context.warn(f"row {row}: {answer.error}")
                context.report("generate", len(tally.rows), len(reader), "rows")
                context.check_cancelled()

            todo = (row for row in range(len(reader)) if row not in tally.rows)
            try:
                await side_by_side(todo, work, request.concurrency or _CONCURRENCY)
            finally:
                log.sync()
            if tally.failed == len(reader):
                raise InvalidField.of("dataset", f"no row could be answered: {tally.last_error}")
            return BatchResult(len(reader) - tally.failed, tally.failed)

    async def publish(self, run: RunDirectory, _result: bytes) -> bytes:
        """Make a dataset of the answers, in the order of the rows."""
        spec = msgspec.json.decode(run.order().job, type=BatchSpec)
        request = decoded(pb.BatchGenerateRequest, spec.request)
        rows = run.path / OUT / "rows.jsonl"
        with self._open(spec.dataset) as reader:
            chat, license_ = reader.kind == "chat", reader.manifest.license
            await asyncio.to_thread(_write_rows, reader, run.path / OUT / ANSWERS, rows)
        return await self._datasets.publish_rows(
            request.output_dataset_id,
            "chat" if chat else "pairs",
            rows,
            license_=license_,
            source=f"{spec.model} on {spec.dataset}",
        )

    def _open(self, name: str) -> DatasetReader:
        ref = DatasetRef.parse(name)
        assert ref.version is not None, "specs name versions"
        return self._datasets.store.open(ref.dataset_id, ref.version)

    async def _answered(
        self, row: int, request: pb.GenerateRequest, caller: Caller, patience: Patience
    ) -> _Answer:
        """One row's answer, or what is wrong with the row."""
        try:
            text, _ = await patience(lambda: self._generator.whole(request, caller))
        except ROW_FAULTS as error:
            return _Answer(row, error=error.message)
        if not text.strip():
            return _Answer(row, error=_NOTHING)
        # A row of a dataset holds no NUL character, and a network may well say one.
        return _Answer(row, text=text.replace("\0", "\ufffd"))


class _Tally:
    """What is answered, over all runs of the job."""

    def __init__(self, known: list[_Answer]) -> None:
        self.rows: set[int] = set()
        self.failed = 0
        self.last_error = ""
        for answer in known:
            self.add(answer)

    def add(self, answer: _Answer) -> None:
        self.rows.add(answer.row)
        if answer.error:
            self.failed += 1
            self.last_error = answer.error


def _write_rows(reader: DatasetReader, answers: Path, rows: Path) -> None:
    """Rows of the new dataset, in the order of the old one's."""
    with rows.open("wb") as file:
        for answer in sorted(read_log(answers, _Answer), key=lambda answer: answer.row):
            if not answer.error:
                made = _made(reader.row(answer.row), answer.text, chat=reader.kind == "chat")
                file.write(msgspec.json.encode(made) + b"\n")


def _prompt(
    row: dict[str, Any], spec: BatchSpec, request: pb.BatchGenerateRequest
) -> pb.GenerateRequest:
    prompt = pb.GenerateRequest(
        model=spec.model,
        sampling=request.sampling,
        stopping=request.stopping,
        priority=request.priority or priority_pb2.PRIORITY_LOW,
    )
    if request.HasField("constraint"):
        prompt.constraint.CopyFrom(request.constraint)
    ask(prompt, row, request.system, chat=spec.chat)
    return prompt


def _made(row: dict[str, Any], text: str, *, chat: bool) -> dict[str, Any]:
    if chat:
        return {"messages": [*question(row), {"role": "assistant", "content": text}]}
    return {"prompt": row.get("prompt") or row["text"], "completion": text}
