"""The export job: a version folder in, files of another format out, each with its digest."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from llmosd.errors import InvalidField
from llmosd.jobs.exporting.gguf import write_gguf
from llmosd.jobs.exporting.hugging_face import write_hugging_face
from llmosd.jobs.exporting.stored import Stored, open_stored
from llmosd.jobs.messages import ExportedFile, ExportResult, ExportSpec, ModelFormat
from llmosd.progress import Progress

_CHUNK = 1 << 20
_WRITERS: dict[ModelFormat, Callable[[Stored, ExportSpec, Progress], None]] = {
    "gguf": write_gguf,
    "hugging_face": write_hugging_face,
}


def export_model(spec: ExportSpec, progress: Progress) -> ExportResult:
    """Fill the empty folder `spec.output`.

    Stages: "read", "weights" and "digest" (both in bytes).

    Raises:
        InvalidField: the format, or the type, cannot say what the version is.
        DataCorrupt, InsufficientDisk, OperationCancelled; the folder is the caller's to discard.
    """
    if spec.dtype == "q8_0" and spec.format != "gguf":
        raise InvalidField.of("dtype", "Q8_0 is a type of GGUF files: ask for that format")
    output = Path(spec.output)
    progress.report("read")
    with open_stored(Path(spec.folder)) as stored:
        _WRITERS[spec.format](stored, spec, progress)
    return ExportResult(files=_digests(output, progress))


def _digests(folder: Path, progress: Progress) -> list[ExportedFile]:
    """Small files first: who reads them as they come sees early what the large one is of."""
    paths = sorted(folder.iterdir(), key=lambda path: (path.stat().st_size, path.name))
    total, done = sum(path.stat().st_size for path in paths), 0
    found = []
    for path in paths:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                progress.check_cancelled()
                digest.update(chunk)
                done += len(chunk)
                progress.report("digest", done, total, "bytes")
        found.append(ExportedFile(path.name, path.stat().st_size, digest.hexdigest()))
    return found
