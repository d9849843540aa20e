"""BatchGenerate: a dataset's rows to a model, its answers to another dataset."""

import asyncio
import os
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Self

import msgspec

from llmos.v1 import generation_service_pb2 as pb
from llmos.v1 import priority_pb2
from llmosd.errors import (
    ChatTemplateFailed,
    ContextLengthExceeded,
    EngineLost,
    InsufficientMemory,
    InvalidField,
    ModelNotLoaded,
    QueueFull,
    ServerDraining,
)
from llmosd.jobs.context import JobContext, JobInterrupted
from llmosd.rpc.caller import Caller
from llmosd.rpc.datasets import Datasets
from llmosd.rpc.generator import Generator
from llmosd.store.catalog import Catalog
from llmosd.store.datasets import DatasetReader
from llmosd.store.names import DatasetRef, ModelRef
from llmosd.store.run_directory import OUT, Order, RunDirectory
from llmosd.supervisor.pool import ModelPool

KIND = "batch-generate"
ANSWERS = "answers.jsonl"
_CONCURRENCY = 32
_AGAIN_SECONDS = 0.5
_NO_MEMORY_SECONDS = 5.0
_NOTHING = "the model answered with nothing"
# What is wrong with a row and not with the moment.
_ROW_FAULTS = (InvalidField, ContextLengthExceeded, ChatTemplateFailed)
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
    data = b64encode(request.SerializeToString(deterministic=True)).decode()
    return BatchSpec(request=data, dataset=dataset, model=model, tenant=tenant, chat=chat)


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
        request = pb.BatchGenerateRequest.FromString(b64decode(spec.request))
        # Nobody need have loaded it.
        self._pool.want(self._catalog.resolve(ModelRef.parse(spec.model)), None, None)
        path = context.folder / OUT / ANSWERS
        with self._open(spec.dataset) as reader, _Answers(path) as answers:
            todo = (row for row in range(len(reader)) if row not in answers.rows)
            workers = [
                asyncio.create_task(self._work(todo, reader, spec, request, answers, context))
                for _ in range(request.concurrency or _CONCURRENCY)
            ]
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
                answers.sync()
            if answers.failed == len(reader):
                raise InvalidField.of("dataset", f"no row could be answered: {answers.last_error}")
            return BatchResult(len(reader) - answers.failed, answers.failed)

    async def publish(self, run: RunDirectory, _result: bytes) -> bytes:
        """Make a dataset of the answers, in the order of the rows."""
        spec = msgspec.json.decode(run.order().job, type=BatchSpec)
        request = pb.BatchGenerateRequest.FromString(b64decode(spec.request))
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

    async def _work(
        self,
        todo: Iterator[int],
        reader: DatasetReader,
        spec: BatchSpec,
        request: pb.BatchGenerateRequest,
        answers: "_Answers",
        context: JobContext,
    ) -> None:
        for row in todo:
            prompt = _prompt(reader.row(row), spec, request)
            try:
                text = await self._answer(prompt, spec, context)
                answer = _Answer(row, text=text) if text.strip() else _Answer(row, error=_NOTHING)
            except _ROW_FAULTS as error:
                answer = _Answer(row, error=error.message)
            answers.add(answer)
            if answer.error and answers.failed <= _MOST_WARNINGS:
                context.warn(f"row {row}: {answer.error}")
            context.report("generate", len(answers.rows), len(reader), "rows")
            context.check_cancelled()

    async def _answer(
        self, request: pb.GenerateRequest, spec: BatchSpec, context: JobContext
    ) -> str:
        """One row's answer; what passes, as a model that is busy or away, is waited for.

        Raises what is the row's own fault, and what will not pass.
        """
        warned = False
        while True:
            context.check_cancelled()
            try:
                text = await self._ask(request, Caller(spec.tenant, None))
            except ServerDraining:
                raise JobInterrupted("stop") from None
            except ModelNotLoaded:  # somebody unloaded it: this job still wants it
                self._pool.want(self._catalog.resolve(ModelRef.parse(spec.model)), None, None)
            except (QueueFull, EngineLost):
                await asyncio.sleep(_AGAIN_SECONDS)
            except InsufficientMemory as error:
                if not warned:
                    context.warn(error.message)
                warned = True
                await asyncio.sleep(_NO_MEMORY_SECONDS)
            else:
                # A row of a dataset holds no NUL character, and a network may well say one.
                return text.replace("\0", "\ufffd")

    async def _ask(self, request: pb.GenerateRequest, caller: Caller) -> str:
        running = await self._generator.start(request, caller)
        try:
            async for _ in running.generation.events():
                pass
            return running.generation.text(0)
        finally:
            self._generator.end(running.generation)


class _Answers:
    """answers.jsonl: what is answered, kept over restarts."""

    def __init__(self, path: Path) -> None:
        path.touch()
        whole = path.read_bytes()
        os.truncate(path, whole.rfind(b"\n") + 1)
        known = list(_read(path))
        self.rows = {answer.row for answer in known}
        self.failed = sum(bool(answer.error) for answer in known)
        self.last_error = next((each.error for each in known if each.error), "")
        self._file: BinaryIO = path.open("ab", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, answer: _Answer) -> None:
        self._file.write(msgspec.json.encode(answer) + b"\n")
        self.rows.add(answer.row)
        if answer.error:
            self.failed += 1
            self.last_error = answer.error

    def sync(self) -> None:
        os.fsync(self._file.fileno())


def _write_rows(reader: DatasetReader, answers: Path, rows: Path) -> None:
    """Rows of the new dataset, in the order of the old one's."""
    with rows.open("wb") as file:
        for answer in _read(answers):
            if not answer.error:
                made = _made(reader.row(answer.row), answer.text, chat=reader.kind == "chat")
                file.write(msgspec.json.encode(made) + b"\n")


def _read(path: Path) -> Iterator[_Answer]:
    """The answers, in the order of their rows."""
    lines = path.read_bytes().splitlines()
    answers = [msgspec.json.decode(line, type=_Answer) for line in lines]
    yield from sorted(answers, key=lambda answer: answer.row)


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
    if not spec.chat:
        prompt.text.text = row.get("prompt") or row.get("text", "")
        return prompt
    messages = _question(row)
    if request.system:
        messages = [{"role": "system", "content": request.system}, *messages]
    for message in messages:
        prompt.chat.messages.add(role=f"ROLE_{message['role'].upper()}", content=message["content"])
    return prompt


def _question(row: dict[str, Any]) -> list[dict[str, Any]]:
    """A row as a conversation that wants an answer: a last answer that is there is left out."""
    if "messages" not in row:
        return [{"role": "user", "content": row.get("prompt") or row["text"]}]
    messages: list[dict[str, Any]] = row["messages"]
    return messages[:-1] if messages[-1]["role"] == "assistant" else messages


def _made(row: dict[str, Any], text: str, *, chat: bool) -> dict[str, Any]:
    if chat:
        return {"messages": [*_question(row), {"role": "assistant", "content": text}]}
    return {"prompt": row.get("prompt") or row["text"], "completion": text}
