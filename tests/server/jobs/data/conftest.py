"""Datasets made of rows, without a daemon."""

import json
from pathlib import Path

import pytest

from llmosd.jobs.data.ingest import ingest
from llmosd.jobs.data.preprocess import preprocess
from llmosd.jobs.data.specs import PreprocessSpec, Recipe
from llmosd.jobs.messages import IngestSpec, UploadedFile
from llmosd.store.datasets import DatasetReader


class Told:
    """Notes what is reported; raises what it is told to when asked about cancelling."""

    def __init__(self, cancel=None):
        self.reports = []
        self.cancel = cancel

    def report(self, *report):
        self.reports.append(report)

    def check_cancelled(self):
        if self.cancel is not None:
            raise self.cancel


class Workshop:
    """Makes dataset versions in folders of its own."""

    def __init__(self, root: Path):
        self.root = root
        self.count = 0
        self.told = Told()

    def folder(self):
        self.count += 1
        path = self.root / str(self.count)
        path.mkdir()
        return path

    def ingest(self, files, kind="text", **more):
        """Check files given as {name: bytes}; returns the version's folder."""
        place, output = self.folder(), self.folder()
        uploaded = {}
        for name, data in files.items():
            (place / name).write_bytes(data)
            uploaded[name] = UploadedFile(str(place / name), "00")
        spec = IngestSpec(files=uploaded, kind=kind, output=str(output), **more)
        self.result = ingest(spec, self.told)
        return output

    def dataset(self, rows, kind="text", **more):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        return self.ingest({"rows.jsonl": lines.encode()}, kind, **more)

    def clean(self, source, **recipe):
        output = self.folder()
        spec = PreprocessSpec(
            source=str(source), source_name="datasets/a/versions/1", output=str(output),
            recipe=Recipe(**recipe),
        )  # fmt: skip
        self.result = preprocess(spec, self.told)
        return output

    def report(self, folder):
        return json.loads((folder / "report.json").read_text())

    @staticmethod
    def read(folder):
        """(split, row) of every row."""
        with DatasetReader(folder) as reader:
            return [(reader.split_of(index), row) for index, row in reader.rows()]

    def texts(self, folder):
        return [row["text"] for _, row in self.read(folder)]


@pytest.fixture
def workshop(tmp_path):
    return Workshop(tmp_path)


@pytest.fixture(scope="session")
def make_told():
    return Told


@pytest.fixture(scope="session")
def make_workshop():
    return Workshop
