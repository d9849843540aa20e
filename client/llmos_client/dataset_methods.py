"""The sync client's methods about datasets."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Unpack

from llmos_client import calls_datasets, datasets, results
from llmos_client.connection import Connection
from llmos_client.upload import LocalFile, OnProgress, Uploading, read_files


class DatasetMethods(Connection):
    """What Client can do with datasets."""

    def upload_dataset(
        self,
        dataset_id: str,
        files: Sequence[Path | str | LocalFile],
        *,
        kind: str,
        license: str = "",  # noqa: A002 - the field's name
        source: str = "",
        one_per_line: bool = False,
        recipe: datasets.Recipe | None = None,
        request_id: str = "",
        on_progress: OnProgress | None = None,
    ) -> results.Operation[datasets.DatasetVersion]:
        """Send a dataset's files; the operation returned checks every row and makes a version.

        A `recipe` is applied before anything is kept.
        """
        local = read_files(files, on_progress)
        header = calls_datasets.make_header(
            dataset_id,
            local,
            kind=kind,
            license=license,
            source=source,
            one_per_line=one_per_line,
            recipe=recipe,
            request_id=request_id,
        )
        return self._upload(Uploading(header, local, on_progress))

    def preprocess_dataset(
        self,
        name: str,
        *,
        dataset_id: str = "",
        wait: bool = True,
        on_progress: OnProgress | None = None,
        request_id: str = "",
        **recipe: Unpack[datasets.Recipe],
    ) -> results.Operation[datasets.DatasetVersion]:
        """Make a version by a recipe, of `dataset_id` or of the same dataset."""
        call = calls_datasets.preprocess_dataset(name, dataset_id, recipe, request_id)
        operation = self._call(call)
        return self.wait_operation(operation, on_progress) if wait else operation

    def list_datasets(self) -> list[datasets.Dataset]:
        """List the datasets."""
        found, token = self._call(calls_datasets.list_datasets(""))
        while token:
            page, token = self._call(calls_datasets.list_datasets(token))
            found += page
        return found

    def get_dataset(self, name: str) -> datasets.Dataset:
        """Get a dataset."""
        return self._call(calls_datasets.get_dataset(name))

    def list_dataset_versions(self, dataset: str = "-") -> list[datasets.DatasetVersion]:
        """List a dataset's versions; "-" means all datasets."""
        versions, token = self._call(calls_datasets.list_versions(dataset, ""))
        while token:
            page, token = self._call(calls_datasets.list_versions(dataset, token))
            versions += page
        return versions

    def get_dataset_version(self, name: str) -> datasets.DatasetVersion:
        """Get a version by datasets/ID/versions/N, or datasets/ID (the newest)."""
        return self._call(calls_datasets.get_version(name))

    def list_examples(
        self, name: str, *, split: datasets.Split | None = None, limit: int | None = 50
    ) -> list[datasets.Example]:
        """List rows of a version, in order, `limit` at most; None: all."""
        rows, token = self._call(calls_datasets.list_examples(name, split, limit or 0, ""))
        while token and (limit is None or len(rows) < limit):
            page, token = self._call(calls_datasets.list_examples(name, split, limit or 0, token))
            rows += page
        return rows[:limit]

    def iter_examples(
        self, name: str, *, split: datasets.Split | None = None
    ) -> Iterator[datasets.Example]:
        """Go through all rows of a version, in order; a page of them is in memory at a time."""
        rows, token = self._call(calls_datasets.list_examples(name, split, 0, ""))
        yield from rows
        while token:
            rows, token = self._call(calls_datasets.list_examples(name, split, 0, token))
            yield from rows

    def delete_dataset(self, name: str) -> None:
        """Remove a dataset with all its versions."""
        self._call(calls_datasets.delete_dataset(name))

    def delete_dataset_version(self, name: str) -> None:
        """Remove one version of a dataset."""
        self._call(calls_datasets.delete_version(name))
