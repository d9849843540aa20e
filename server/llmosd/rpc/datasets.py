"""Making versions of datasets: uploads, and recipes applied to what is there."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path

from llmos.v1 import dataset_service_pb2 as pb
from llmosd.errors import DatasetInUse, DatasetNotFound, InvalidField
from llmosd.jobs.data.specs import PreprocessSpec
from llmosd.jobs.messages import DatasetResult, IngestSpec, JobProgress, UploadedFile
from llmosd.operations.manager import OperationManager, Report
from llmosd.rpc import convert_datasets, resources
from llmosd.rpc.receiver import check_files, take_upload
from llmosd.store.catalog import Catalog
from llmosd.store.datasets import DatasetKind, DatasetStore
from llmosd.store.folders import Staging
from llmosd.store.names import DatasetRef, dataset_name
from llmosd.store.records import DatasetVersionRecord, OperationRecord, now
from llmosd.store.run_events import ProgressEvent
from llmosd.supervisor.job_runner import JobRunner

_SUFFIXES = (".jsonl", ".txt")


def _nobody() -> Collection[str]:
    return ()


class Datasets:
    """Versions that come, and who reads them.

    `users` is asked before a version is deleted, and may be set later: it returns the resource
    names of the versions that other jobs read.
    """

    def __init__(
        self,
        catalog: Catalog,
        store: DatasetStore,
        operations: OperationManager,
        jobs: JobRunner,
        max_bytes: int,
        users: Callable[[], Collection[str]] = _nobody,
    ) -> None:
        self.table, self.store = catalog.datasets, store
        self._operations, self._jobs = operations, jobs
        self._max_bytes = max_bytes
        self.users = users

    async def receive(self, requests: AsyncIterator[pb.UploadDatasetRequest]) -> OperationRecord:
        """Take a whole upload, then start the operation that checks its rows.

        Raises:
            InvalidField, LimitExceeded, InsufficientDisk: nothing is kept.
            DataCorrupt: content differs from its digest; nothing is kept.
        """
        return await take_upload(requests, self.store, self._operations, self._check, self._start)

    def set_max_bytes(self, most: int) -> None:
        """Take uploads of so many bytes from now on."""
        self._max_bytes = most

    async def publish_rows(
        self, dataset_id: str, kind: DatasetKind, path: Path, *, license_: str, source: str
    ) -> bytes:
        """Check and publish a file of rows that a job made; packed, as an operation's response.

        Called again after a crash, it finds what it made.
        """
        staging = self.store.stage()
        try:
            digest = await asyncio.to_thread(_digest, path)
            spec = IngestSpec(
                files={path.name: UploadedFile(str(path), digest)},
                kind=kind,
                output=str(staging.version),
                license=license_,
                source=source,
            )
            result = await self._jobs.run(f"check {dataset_id}", spec, DatasetResult)
            for known in self.table.versions(None, 1_000_000):
                if known.dataset_id == dataset_id and known.digest == result.manifest.digest:
                    return resources.packed(convert_datasets.version(known, self.store))
            return self.published(dataset_id, result, staging)
        finally:
            self.store.discard(staging)

    def locate(self, name: str, field: str = "dataset") -> tuple[DatasetVersionRecord, Path]:
        """The version that a name means, and its folder, for a job to read.

        Raises DatasetNotFound, and InvalidField or PathNotAllowed naming `field`.
        """
        record = self.table.resolve(DatasetRef.parse(name, field))
        return record, self.store.place(record.dataset_id, record.version)

    def check_unused(self, records: list[DatasetVersionRecord]) -> None:
        """Raise DatasetInUse where a job reads one of the versions."""
        used = self.users()
        for record in records:
            if record.name in used:
                raise DatasetInUse(
                    f"{record.name} is being read by a job; wait for it, or cancel it",
                    metadata={"dataset": record.name},
                )

    def delete(self, records: list[DatasetVersionRecord]) -> None:
        """Remove versions that are no longer in the catalog."""
        for record in records:
            self.store.delete(record.dataset_id, record.version)

    def _check(self, header: pb.UploadDatasetHeader) -> None:
        kind = convert_datasets.KINDS[header.kind]
        for at, file in enumerate(header.files):
            suffix = Path(file.name).suffix.lower()
            if suffix not in _SUFFIXES:
                raise InvalidField.of(f"header.files[{at}].name", "must end in .jsonl or .txt")
            if suffix == ".txt" and kind != "text":
                raise InvalidField.of(
                    f"header.files[{at}].name", f"rows of kind {kind} come as .jsonl"
                )
        # What came, what it becomes, and what the recipe makes of that.
        times = 3 if header.HasField("recipe") else 2
        check_files(header, self.store.disk, self._max_bytes, "max_dataset_bytes", times)

    def _start(
        self, header: pb.UploadDatasetHeader, staging: Staging, digest: str
    ) -> OperationRecord:
        return self._operations.start(
            "upload-dataset",
            dataset_name(header.dataset_id),
            lambda report: self._ingest(header, staging, report),
            request_id=header.request_id,
            payload_digest=digest,
        )

    async def _ingest(
        self, header: pb.UploadDatasetHeader, staging: Staging, report: Report
    ) -> bytes:
        """The operation: check the rows, apply the recipe if there is one, publish."""
        with_recipe = header.HasField("recipe")
        checked = staging.path / "checked" if with_recipe else staging.version
        checked.mkdir(exist_ok=True, mode=0o750)
        files = {
            file.name: UploadedFile(
                str(staging.incoming / file.name), file.digest.removeprefix("sha256:")
            )
            for file in header.files
        }
        spec = IngestSpec(
            files=files,
            kind=convert_datasets.KINDS[header.kind],
            output=str(checked),
            license=header.license,
            source=header.source,
            one_per_line=header.one_per_line,
        )
        try:
            result = await self._jobs.run(
                f"check {header.dataset_id}", spec, DatasetResult, _told(report)
            )
            if with_recipe:
                again = PreprocessSpec(
                    source=str(checked),
                    source_name="",
                    output=str(staging.version),
                    recipe=convert_datasets.recipe(header.recipe),
                )
                result = await self._jobs.run(
                    "preprocess a dataset", again, DatasetResult, _told(report)
                )
            return self.published(header.dataset_id, result, staging)
        finally:
            self.store.discard(staging)

    def known(self, ref: DatasetRef, digest: str) -> bytes | None:
        """A version that is there and has this digest; packed, as an operation's response."""
        try:
            record = self.table.resolve(ref)
        except DatasetNotFound:
            return None
        if record.digest != digest:
            return None
        return resources.packed(convert_datasets.version(record, self.store))

    def published(self, dataset_id: str, result: DatasetResult, staging: Staging) -> bytes:
        """Publish what a job made as the next version; packed, as an operation's response."""
        manifest = result.manifest
        record = DatasetVersionRecord(
            dataset_id=dataset_id,
            version=self.table.next_version(dataset_id),
            create_time=now(),
            kind=manifest.kind,
            row_count=manifest.rows,
            byte_size=result.byte_size,
            digest=manifest.digest,
            license=manifest.license,
            source=manifest.source,
        )
        self.store.publish(dataset_id, record.version, staging)
        try:
            self.table.add_version(record)
        except BaseException:  # as a full disk: the number is to be taken again
            self.store.delete(dataset_id, record.version)
            raise
        return resources.packed(convert_datasets.version(record, self.store))


def _told(report: Report) -> Callable[[JobProgress], None]:
    return lambda at: report(ProgressEvent(at.stage, at.completed, at.total, at.unit))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
