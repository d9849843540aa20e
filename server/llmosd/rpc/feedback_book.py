"""What people say about answers: kept, exported to datasets, and forgotten."""

import asyncio
import shutil
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog
from google.protobuf import any_pb2

from llmos.v1 import dataset_pb2, evaluation_pb2
from llmosd.errors import DatasetNotFound, InvalidField
from llmosd.jobs.feedback.specs import FeedbackRows, FeedbackSpec, RowsKind, Verdict
from llmosd.rpc.datasets import Datasets
from llmosd.rpc.recent import Recent
from llmosd.store.catalog import Catalog
from llmosd.store.evaluations import EvaluationFolders
from llmosd.store.feedback import FeedbackRecord
from llmosd.store.names import DatasetRef, dataset_version_name
from llmosd.store.records import now
from llmosd.store.versions import VersionStore
from llmosd.supervisor.job_runner import JobRunner

_log = structlog.get_logger()
_EVERY = 1_000_000
_LICENSE = "LicenseRef-user-feedback"


class Wish(NamedTuple):
    """What is to be exported; see ExportFeedbackRequest."""

    model_id: str
    dataset_id: str
    kind: RowsKind
    max_tenant_share: float = 0.5
    replay: str = ""
    replay_share: float = 0.3


class Forgotten(NamedTuple):
    """What went with deleted feedback, by resource names."""

    deleted: int
    datasets: list[str]
    marked: list[str]


class FeedbackBook:
    """Feedback and all that is made of it."""

    def __init__(
        self,
        catalog: Catalog,
        store: VersionStore,
        datasets: Datasets,
        folders: EvaluationFolders,
        runner: JobRunner,
        recent: Recent,
        state: Path,
        retention_days: float = 0.0,
    ) -> None:
        """`retention_days` 0: feedback is kept until somebody deletes it."""
        self._catalog = catalog
        self.table = catalog.feedback
        self._store = store
        self._datasets = datasets
        self._folders = folders
        self._runner = runner
        self._recent = recent
        self._state = state
        self._retention = timedelta(days=retention_days)

    def set_retention(self, days: float) -> None:
        """Keep feedback for so long from the next look on; 0: until somebody deletes it."""
        self._retention = timedelta(days=days)

    async def export(self, wish: Wish, scratch: Path) -> tuple[bytes, FeedbackRows]:
        """Make a dataset version; the packed response of an operation, and what went into it.

        `scratch` is an empty folder that nobody else uses; it is removed.

        Raises:
            InvalidField: nobody consented to anything that makes a row of this kind.
        """
        replay = ""
        if wish.replay:
            _, path = self._datasets.locate(wish.replay, "replay_dataset")
            replay = str(path)
        try:
            verdicts = scratch / "verdicts.jsonl"
            rows = scratch / "rows.jsonl"
            found = self.table.newest(_EVERY, 0, wish.model_id or None)
            lines = [_verdict(each) for each in reversed(found) if each.consent]
            verdicts.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in lines))
            spec = FeedbackSpec(
                verdicts=str(verdicts),
                kind=wish.kind,
                output=str(rows),
                max_tenant_share=wish.max_tenant_share,
                replay=replay,
                replay_share=wish.replay_share,
            )
            made = await self._runner.run("export feedback", spec, FeedbackRows)
            if not made.rows:
                raise InvalidField.of(
                    "kind", f"there is no feedback with consent that makes rows of kind {wish.kind}"
                )
            source = f"feedback on models/{wish.model_id}" if wish.model_id else "feedback"
            packed = await self._datasets.publish_rows(
                wish.dataset_id, wish.kind, rows, license_=_LICENSE, source=source
            )
            version = dataset_pb2.DatasetVersion()
            any_pb2.Any.FromString(packed).Unpack(version)
            ref = DatasetRef.parse(version.name)
            assert ref.version is not None, "versions have numbers"
            self.table.exported(made.used, ref.dataset_id, ref.version)
        finally:
            await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)
        return packed, made

    async def forget(self, found: list[FeedbackRecord]) -> Forgotten:
        """Delete feedback and everything that holds its words.

        Raises:
            DatasetInUse: a job reads a dataset that holds some; nothing was deleted.
        """
        if not found:
            return Forgotten(0, [], [])
        identifiers = [each.feedback_id for each in found]
        held = self.table.datasets_of(identifiers)
        records = []
        for ref in held:
            try:
                records.append(self._datasets.table.resolve(ref))
            except DatasetNotFound:  # somebody deleted it before
                continue
        self._datasets.check_unused(records)
        names = {dataset_version_name(ref.dataset_id, ref.version or 0) for ref in held}
        marked = self._mark(names)
        for record in records:
            self._datasets.table.delete_version(record.dataset_id, record.version)
        self._datasets.delete(records)
        self._forget_evaluations(names)
        # Which tokens are of which rows is not known; the cache is made again.
        await asyncio.to_thread(shutil.rmtree, self._state / "tokens", ignore_errors=True)
        self._recent.forget({each.answer for each in found if each.answer})
        self.table.delete(identifiers)
        _log.info("feedback_deleted", count=len(found), datasets=sorted(names), marked=marked)
        return Forgotten(len(found), sorted(names), marked)

    async def expire(self) -> None:
        """Forget what is older than the retention."""
        if self._retention:
            await self.forget(self.table.older_than(now() - self._retention))

    def _mark(self, datasets: set[str]) -> list[str]:
        """Note on versions that were trained on these, or on such versions."""
        tainted: dict[str, str] = {}
        for record in self._catalog.versions(None, _EVERY):
            lineage = self._store.manifest(record.model_id, record.version).lineage
            cause = lineage.get("dataset", "")
            if cause not in datasets:
                cause = tainted.get(lineage.get("base", ""), "")
            if cause:
                tainted[record.name] = cause
                note = f"trained on {cause}, which held data that was deleted on request"
                self._catalog.add_note(record.model_id, record.version, note)
        return sorted(tainted)

    def _forget_evaluations(self, datasets: set[str]) -> None:
        """Remove those whose examples are rows of these, or answers that were."""
        for record in self._catalog.evaluations.newest(_EVERY, 0):
            found = evaluation_pb2.Evaluation.FromString(record.summary)
            if datasets & {found.answers, *(result.data for result in found.results)}:
                self._catalog.evaluations.delete(record.evaluation_id)
                self._folders.delete(record.evaluation_id)


def _verdict(record: FeedbackRecord) -> Verdict:
    return Verdict(
        id=record.feedback_id,
        kind=record.kind,
        tenant=record.tenant,
        prompt=record.prompt,
        answer=record.answer,
        other_answer=record.other_answer,
        edit=record.edit,
    )
