"""What the front and a job's process say to each other. Imports nothing heavy: the front reads it.

front to job    JobSpec first, then perhaps CancelJob
job to front    JobProgress…, and last JobDone or llmosd.ipc.Failure
"""

from typing import Literal

import msgspec

from llmosd.ipc import Failure
from llmosd.jobs.data.specs import PreprocessSpec
from llmosd.jobs.evaluating.specs import (
    CompareSpec,
    Differences,
    MeasureSpec,
    Prepared,
    PrepareSpec,
    Report,
)
from llmosd.jobs.feedback.specs import FeedbackRows, FeedbackSpec, RateSpec, Ratings
from llmosd.jobs.optimizing.specs import Optimized, OptimizeSpec
from llmosd.store.datasets import DatasetKind, DatasetManifest
from llmosd.store.manifest import Dtype, Manifest

ModelFormat = Literal["gguf", "hugging_face"]
ExportDtype = Literal["float32", "float16", "bfloat16", "q8_0"]


class ImportSpec(msgspec.Struct, frozen=True, kw_only=True, tag="import-model"):
    """Convert staged files into a version folder.

    `files` are name to path of what was uploaded, `output` an empty folder to fill (see
    `store.versions.Staging`). `dtype` None keeps weights as they are, and makes quantized ones
    float32. `sampling` are fields of GenerationDefaults, over the files' own. `memory_bytes` is
    what a model may need at most; 0: the machine's memory. `base` is the resource name of the
    version that the files are an adapter to, and `base_dir` its folder.
    """

    files: dict[str, str]
    format: ModelFormat
    output: str
    license: str = ""
    source: str = ""
    dtype: Dtype | None = None
    sampling: dict[str, int | float] = {}
    memory_bytes: int = 0
    base: str = ""
    base_dir: str = ""


class ImportResult(msgspec.Struct, frozen=True, kw_only=True, tag="import-model"):
    """The filled folder: "sha256:…" of its manifest.json, the manifest, bytes of all files."""

    digest: str
    manifest: Manifest
    byte_size: int


class ExportSpec(msgspec.Struct, frozen=True, kw_only=True, tag="export-model"):
    """Write a version folder down as files of a format, in the empty folder `output`.

    `dtype` None keeps weights as they are; `license` is for files that have a place for it.
    """

    folder: str
    name: str
    format: ModelFormat
    output: str
    dtype: ExportDtype | None = None
    license: str = ""


class ExportedFile(msgspec.Struct, frozen=True):
    """A file that was written: its size in bytes, and its SHA-256 in lower-case hexadecimal."""

    name: str
    bytes: int
    sha256: str


class ExportResult(msgspec.Struct, frozen=True, kw_only=True, tag="export-model"):
    """The files in `output`, in the order in which they are to be sent."""

    files: list[ExportedFile]


class UploadedFile(msgspec.Struct, frozen=True):
    """A file of an upload: where it is, and the SHA-256 that it was checked against."""

    path: str
    sha256: str


class IngestSpec(msgspec.Struct, frozen=True, kw_only=True, tag="ingest-dataset"):
    """Check the rows of staged files and write them as a dataset version.

    `files` are by name, in order; `output` is an empty folder to fill. With `one_per_line` each
    line of a .txt file is a row, else the whole file is.
    """

    files: dict[str, UploadedFile]
    kind: DatasetKind
    output: str
    license: str = ""
    source: str = ""
    one_per_line: bool = False


class DatasetResult(msgspec.Struct, frozen=True, kw_only=True, tag="dataset"):
    """The filled folder: its manifest, and bytes of all files."""

    manifest: DatasetManifest
    byte_size: int


class ExplainSpec(msgspec.Struct, frozen=True, kw_only=True, tag="explain"):
    """Attribute an answer to the tokens of its prompt; see jobs.explain.

    `model_dir` is the version's folder, `base_dir` that of the weights where it has an adapter to
    them. `target` is a place in the answer, -1: all of it. Steps are added until the error is below
    `tolerance` of the whole, or there are `max_steps`.
    """

    model_dir: str
    base_dir: str = ""
    prompt: list[int]
    answer: list[int]
    target: int = -1
    baseline: Literal["mean", "zero"] = "mean"
    tolerance: float = 0.05
    max_steps: int = 512


class ExplainResult(msgspec.Struct, frozen=True, kw_only=True, tag="explain"):
    """Logits that each token of the prompt adds, those there are with it and without, and steps."""

    attributions: list[float]
    output: float
    baseline_output: float
    steps: int
    converged: bool


AnySpec = (
    ImportSpec
    | ExportSpec
    | IngestSpec
    | PreprocessSpec
    | PrepareSpec
    | MeasureSpec
    | CompareSpec
    | OptimizeSpec
    | FeedbackSpec
    | RateSpec
    | ExplainSpec
)
AnyResult = (
    ImportResult
    | ExportResult
    | DatasetResult
    | Prepared
    | Report
    | Differences
    | Optimized
    | FeedbackRows
    | Ratings
    | ExplainResult
)


class JobSpec(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The first frame. The spec's tag says which job it is.

    `data_bytes` limits the process's own memory (RLIMIT_DATA, 0: no limit).
    """

    spec: AnySpec
    data_bytes: int = 0


class CancelJob(msgspec.Struct, frozen=True, tag=True):
    """Stop soon; the job answers with a Failure of reason OPERATION_CANCELLED."""


class JobProgress(msgspec.Struct, frozen=True, tag=True):
    """How far a stage is; `total` 0 means not known."""

    stage: str
    completed: int = 0
    total: int = 0
    unit: str = ""


class JobDone(msgspec.Struct, frozen=True, tag=True):
    """The last frame of a job that succeeded."""

    result: AnyResult


ToJob = JobSpec | CancelJob
ToFront = JobProgress | JobDone | Failure
