"""Before models are asked: which rows, with which typing errors, for which task."""

import hashlib
import random
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from llmosd.errors import InvalidField
from llmosd.jobs.data.preprocess import mistyped
from llmosd.jobs.data.schema import Row, with_texts
from llmosd.jobs.evaluating.specs import (
    OUTPUTS,
    Example,
    Output,
    PartSpec,
    Prepared,
    PreparedPart,
    PrepareSpec,
    Task,
    references_file,
    rows_file,
)
from llmosd.progress import Progress
from llmosd.store.dataset_writer import canonical
from llmosd.store.datasets import DatasetKind, DatasetReader, Split
from llmosd.store.suites import read_suite

_TASKS: dict[DatasetKind, tuple[Task, ...]] = {
    "text": ("score",),
    "chat": ("answer",),
    "pairs": ("answer",),
    "labelled": ("classify", "choose"),
    "graded": ("regress",),
    "preference": ("prefer",),
    "choices": ("choose",),
    "checks": ("check",),
}
# What a version must answer with; the others want text.
_HEADS: dict[Task, str] = {"classify": "classify", "regress": "regress"}
_HELD_OUT: tuple[Split, ...] = ("test", "validation")
_MOST_LABELS = 64


def prepare(spec: PrepareSpec, progress: Progress) -> Prepared:
    """Write rows-N.jsonl for every part; where answers are given, their outputs too.

    Raises:
        InvalidField: naming the part whose data cannot be evaluated so.
    """
    folder = Path(spec.output)
    answers = _given(spec.answers) if spec.answers else None
    parts = []
    with (folder / OUTPUTS).open("wb") as outputs:
        for at, part in enumerate(spec.parts):
            progress.check_cancelled()
            progress.report("prepare", at, len(spec.parts), "parts")
            kind, rows = _read(part, f"parts[{at}]")
            if answers is None:
                task = _task(part, kind, spec.head, f"parts[{at}]")
                chosen = _drawn(rows, spec.most, spec.seed)
                examples = [Example(row, _noisy(kind, each, part)) for row, each in chosen]
            else:
                task = "answer"
                given = _Given(kind, rows, answers, f"parts[{at}]")
                examples = given.examples(spec, folder / references_file(at))
                for place, example in enumerate(examples):
                    said = {"answer": answers[example.row]}
                    line = msgspec.json.encode(Output(part=at, at=place, said=said))
                    outputs.write(line + b"\n")
            prepared = PreparedPart(
                spec=msgspec.structs.replace(part, task=task),
                kind=kind,
                examples=len(examples),
                digest=_write(folder / rows_file(at), examples),
                labels=_labels(examples, f"parts[{at}]") if kind == "labelled" else [],
            )
            parts.append(prepared)
    return Prepared(parts)


def _read(part: PartSpec, field: str) -> tuple[DatasetKind, list[tuple[int, Row]]]:
    """Kind and rows of a part's data."""
    if not part.folder:
        suite = read_suite(part.data.removeprefix("suites/"))
        return suite.kind, list(enumerate(suite.rows()))
    with DatasetReader(Path(part.folder)) as reader:
        splits = reader.manifest.splits
        held_out = next((each for each in _HELD_OUT if splits.get(each)), None)
        wanted: Split | None = part.split or held_out
        rows = list(reader.rows(wanted))
        if not rows:
            raise InvalidField.of(f"{field}.split", f"{part.data} has no {wanted} rows")
        return reader.kind, rows


def _task(part: PartSpec, kind: DatasetKind, head: str, field: str) -> Task:
    known = _TASKS.get(kind)
    if known is None:
        raise InvalidField.of(
            f"{field}.dataset", f"rows of kind {kind} are no questions; evaluate by pairs"
        )
    fit = [each for each in known if _HEADS.get(each, "language") == head]
    if not fit:
        raise InvalidField.of(
            f"{field}.dataset",
            f"rows of kind {kind} ask for what this model does not say; it gives "
            + {"classify": "labels", "regress": "a grade"}.get(head, "text"),
        )
    if part.task is not None and part.task not in fit:
        raise InvalidField.of(
            f"{field}.task", f"rows of kind {kind} are for {' or '.join(fit)} with this model"
        )
    return part.task or fit[0]


def _drawn(rows: list[tuple[int, Row]], most: int, seed: int) -> list[tuple[int, Row]]:
    """`most` of the rows, in their order."""
    if not most or most >= len(rows):
        return rows
    places = random.Random(seed).sample(range(len(rows)), most)  # noqa: S311 - nothing is secret
    return [rows[at] for at in sorted(places)]


def _noisy(kind: DatasetKind, row: Row, part: PartSpec) -> Row:
    """The row with typing errors in what a user types; the same ones for the same row."""
    if not part.noise:
        return row
    seed = msgspec.json.encode(part.noise_seed) + canonical(row)
    generator = random.Random(seed)  # noqa: S311 - nothing is secret
    return with_texts(
        kind, row, lambda text: mistyped(text, part.noise, generator) or text, inputs_only=True
    )


def _given(folder: str) -> list[str]:
    """The answers of a dataset: texts, or the completions of pairs."""
    with DatasetReader(Path(folder)) as reader:
        name = {"text": "text", "pairs": "completion"}.get(reader.kind)
        if name is None:
            raise InvalidField.of("answers", f"rows of kind {reader.kind} are no answers")
        return [row[name] for _, row in reader.rows()]


class _Given(NamedTuple):
    """A part whose answers are there already."""

    kind: DatasetKind
    rows: list[tuple[int, Row]]
    answers: list[str]
    field: str

    def examples(self, spec: PrepareSpec, references: Path) -> list[Example]:
        """What was answered; an example's row is the answer's place.

        Answers to texts are compared with all texts there are, which go to `references`.
        """
        if self.kind == "text":
            references.write_bytes(msgspec.json.encode([row["text"] for _, row in self.rows]))
            every: list[tuple[int, Row]] = [(at, {}) for at in range(len(self.answers))]
        elif self.kind not in ("pairs", "chat"):
            raise InvalidField.of(
                f"{self.field}.dataset", f"rows of kind {self.kind} have no answer to compare with"
            )
        elif len(self.answers) != len(self.rows):
            count = f"has {len(self.answers)} answers, and {self.field} {len(self.rows)} examples"
            raise InvalidField.of("answers", count)
        else:
            every = [(at, row) for at, (_, row) in enumerate(self.rows)]
        return [Example(at, row) for at, row in _drawn(every, spec.most, spec.seed)]


def _labels(examples: list[Example], field: str) -> list[str]:
    labels = sorted({each.input["label"] for each in examples})
    if len(labels) > _MOST_LABELS:
        raise InvalidField.of(f"{field}.dataset", f"has {len(labels)} labels; {_MOST_LABELS} do")
    return labels


def _write(path: Path, examples: Iterable[Example]) -> str:
    """Write the examples; returns their digest, by which two evaluations are of the same ones."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for example in examples:
            line = msgspec.json.encode(example, order="sorted") + b"\n"
            file.write(line)
            digest.update(line)
    return f"sha256:{digest.hexdigest()}"
