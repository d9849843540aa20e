"""Uploaded files to a dataset version: every row is checked, then written in one canonical form.

Files are strangers': they are read as a stream, a row at a time, and a row has a greatest length.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

from llmosd.errors import FieldViolation, InvalidDataset
from llmosd.jobs.data.schema import BadRow, checked, quoted
from llmosd.jobs.messages import DatasetResult, IngestSpec
from llmosd.progress import Progress
from llmosd.store.dataset_writer import DatasetWriter, canonical
from llmosd.store.manifest import MANIFEST

MAX_ROW = 16 * 1024 * 1024
MOST_VIOLATIONS = 16
STAGE_CHECK = "check"

_BOM = b"\xef\xbb\xbf"


class _Line(NamedTuple):
    """A piece of a file that should be a row; `data` None: longer than a row may be."""

    file: str
    number: int
    data: bytes | None
    end: int  # bytes of the file up to here


def ingest(spec: IngestSpec, progress: Progress) -> DatasetResult:
    """Check all files, and write the version into `spec.output`.

    Raises:
        InvalidDataset: with the first places that are wrong.
        OperationCancelled.
    """
    output = Path(spec.output)
    wrong: list[FieldViolation] = []
    with DatasetWriter(output, spec.kind) as writer:
        for line in _lines(spec, progress):
            if len(wrong) == MOST_VIOLATIONS:
                break
            try:
                row = _parsed(spec, line)
                if row and not wrong:
                    writer.add_line(row)
            except BadRow as bad:
                wrong.append(FieldViolation(f"{line.file}:{line.number}", str(bad), "dataset.row"))
        if wrong:
            raise _refusal(wrong)
        if not len(writer):
            raise InvalidDataset("the files hold no rows; a dataset needs at least one")
        lineage = {f"file:{name}": f"sha256:{file.sha256}" for name, file in spec.files.items()}
        manifest = writer.finish(
            license_=spec.license, source=spec.source, lineage=lineage, recipe=None, report=None
        )
    return DatasetResult(
        manifest=manifest, byte_size=manifest.byte_size + (output / MANIFEST).stat().st_size
    )


def _refusal(wrong: list[FieldViolation]) -> InvalidDataset:
    first = wrong[0]
    count = "1 row is" if len(wrong) == 1 else f"{len(wrong)} rows are"
    if len(wrong) == MOST_VIOLATIONS:
        count = f"at least {count}"
    return InvalidDataset(
        f"{count} wrong, and nothing was kept; the first: {first.field}: {first.description}",
        violations=wrong,
    )


def _lines(spec: IngestSpec, progress: Progress) -> Iterator[_Line]:
    """All lines of all files, and how far that is."""
    total = sum(Path(file.path).stat().st_size for file in spec.files.values())
    before = 0
    for name, file in spec.files.items():
        whole = name.lower().endswith(".txt") and not spec.one_per_line
        with Path(file.path).open("rb") as opened:
            for line in _whole(name, opened) if whole else _by_line(name, opened):
                progress.check_cancelled()
                progress.report(STAGE_CHECK, before + line.end, total, "bytes")
                yield line
            before += opened.tell()


def _whole(name: str, file: BinaryIO) -> Iterator[_Line]:
    """A file as one row."""
    data = file.read(MAX_ROW + 1)
    yield _Line(name, 1, data if len(data) <= MAX_ROW else None, len(data))


def _by_line(name: str, file: BinaryIO) -> Iterator[_Line]:
    """A file line by line; of one that is too long, only the length of a row is ever in memory."""
    number = end = 0
    while data := file.readline(MAX_ROW + 2):
        number += 1
        end += len(data)
        too_long = len(data) > MAX_ROW + 1 or (len(data) > MAX_ROW and not data.endswith(b"\n"))
        yield _Line(name, number, None if too_long else data, end)
        while too_long and data and not data.endswith(b"\n"):
            data = file.readline(MAX_ROW)
            end += len(data)


def _parsed(spec: IngestSpec, line: _Line) -> bytes:
    """The row that a line is, in its canonical form; nothing for an empty line. Raises BadRow."""
    data = line.data
    text_file = line.file.lower().endswith(".txt")
    if data is None:
        hint = "; send it as .jsonl, a row for each text" if text_file else ""
        raise BadRow(f"is longer than {MAX_ROW >> 20} MiB{hint}")
    if line.number == 1:
        data = data.removeprefix(_BOM)
    if b"\0" in data:
        raise BadRow("holds a NUL byte: this is not a text file")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise BadRow(f"is not UTF-8: byte {error.start + 1} of the row is wrong") from None
    if not text.strip():
        return b""
    row: object = {"text": text.rstrip("\r\n") if spec.one_per_line else text}
    try:
        return canonical(checked(spec.kind, row if text_file else _json(text.rstrip())))
    except UnicodeEncodeError:
        raise BadRow("holds half a character (a lone surrogate)") from None


def _json(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise BadRow(f"is not JSON: {error.msg} at column {error.colno}") from None
    except RecursionError:
        raise BadRow("is nested too deeply") from None
    except ValueError:
        raise BadRow("holds a number with too many digits") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise BadRow(f"field {quoted(name)} is there twice")
            seen.add(name)
    return row


def _no_constant(name: str) -> NoReturn:
    raise BadRow(f"{name} is not JSON; numbers must be finite")
