"""A dataset version from another one by a recipe. Each stage is a generator of rows."""

import hashlib
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from llmosd.errors import InvalidDataset
from llmosd.jobs.data.personal_data import Scrubber
from llmosd.jobs.data.schema import Row, target, texts, with_texts
from llmosd.jobs.data.similar import SimilarRows, normal_form
from llmosd.jobs.data.specs import NoiseSpec, PreprocessReport, PreprocessSpec, Recipe, SplitSpec
from llmosd.jobs.data.steps import normalized, word_steps
from llmosd.jobs.messages import DatasetResult
from llmosd.progress import Progress
from llmosd.store.dataset_writer import DatasetWriter, canonical
from llmosd.store.datasets import DatasetKind, DatasetReader, Split
from llmosd.store.manifest import MANIFEST

STAGE_CLEAN, STAGE_WRITE = "clean", "write"


class _Item(NamedTuple):
    """A row on its way; `origin` is the text by which its split is chosen, empty: its own."""

    row: Row
    split: Split
    origin: str = ""


def preprocess(spec: PreprocessSpec, progress: Progress) -> DatasetResult:
    """Write the version into `spec.output`.

    Raises:
        FeatureUnavailable: a step needs a package that is not installed.
        InvalidDataset: no row is left.
        OperationCancelled, DataCorrupt.
    """
    output = Path(spec.output)
    scratch = output.with_name(f"{output.name}.scratch")
    with DatasetReader(Path(spec.source)) as reader, DatasetWriter(output, reader.kind) as writer:
        scratch.mkdir()
        try:
            run = _Run(spec.recipe, reader.kind, progress)
            for item in run.items(reader, scratch):
                writer.add(item.row, item.split)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        if not len(writer):
            raise InvalidDataset(f"the recipe leaves none of the {len(reader)} rows")
        source = reader.manifest
        lineage = {"source": spec.source_name, "source_digest": source.digest}
        manifest = writer.finish(
            license_=source.license,
            source=source.source,
            lineage=lineage if spec.source_name else source.lineage,
            recipe=spec.recipe,
            report=run.report(len(writer)),
        )
    return DatasetResult(
        manifest=manifest, byte_size=manifest.byte_size + (output / MANIFEST).stat().st_size
    )


class _Run:
    """The stages of one recipe, and what they count."""

    def __init__(self, recipe: Recipe, kind: DatasetKind, progress: Progress) -> None:
        self._recipe, self._kind, self._progress = recipe, kind, progress
        self._scrubber = Scrubber(recipe.personal_data)
        self._steps = word_steps(recipe)
        self._counts = Counter[str]()

    def items(self, reader: DatasetReader, scratch: Path) -> Iterator[_Item]:
        """All rows as they shall be written."""
        recipe = self._recipe
        items = self._cleaned(reader)
        if recipe.deduplicate or recipe.near_duplicates:
            items = self._deduplicated(items)
        if recipe.near_duplicates:
            items = self._without_similar(items, scratch)
        if recipe.split is not None:
            items = self._split(items, recipe.split)
        if recipe.noise is not None:
            items = self._with_noise(items, recipe.noise)
        return items

    def report(self, written: int) -> PreprocessReport:
        """What the stages did."""
        return PreprocessReport(
            rows_written=written,
            personal_data=dict(sorted(self._scrubber.counts.items())),
            **self._counts,
        )

    def _cleaned(self, reader: DatasetReader) -> Iterator[_Item]:
        for index, original in reader.rows():
            self._progress.check_cancelled()
            self._progress.report(STAGE_CLEAN, index + 1, len(reader), "rows")
            self._counts["rows_read"] += 1
            found = self._scrubber.counts.total()
            row = with_texts(self._kind, original, self._clean)
            self._counts["rows_with_personal_data"] += self._scrubber.counts.total() > found
            if all(text.strip() for text in texts(self._kind, row)):
                yield _Item(row, reader.split_of(index))
            else:
                self._counts["rows_emptied"] += 1

    def _clean(self, text: str) -> str:
        if self._recipe.unicode:
            text = normalized(text, self._recipe.unicode)
        text = self._scrubber(text)
        for step in self._steps:
            text = step(text)
        return text

    def _deduplicated(self, items: Iterator[_Item]) -> Iterator[_Item]:
        """Of rows with equal texts and targets, the first."""
        seen: set[bytes] = set()
        for item in items:
            row = with_texts(self._kind, item.row, normal_form)
            key = hashlib.blake2b(canonical(row), digest_size=16).digest()
            if key in seen:
                self._counts["duplicates"] += 1
                continue
            seen.add(key)
            yield item

    def _without_similar(self, items: Iterator[_Item], scratch: Path) -> Iterator[_Item]:
        """Of rows with similar texts and equal targets, the first.

        A similar row with another target stays, in the split of the row that it is like.
        """
        threshold = self._recipe.near_duplicates
        with (
            DatasetWriter(scratch, self._kind) as writer,
            SimilarRows(scratch / "bands.bin", threshold) as similar,
        ):
            for item in items:
                writer.add(item.row, item.split)
                similar.add(self._text(item.row))
            if not len(writer):
                return
            writer.finish(license_="", source="", lineage={}, recipe=None, report=None)
            with DatasetReader(scratch) as reader:
                yield from self._dissimilar(reader, similar)

    def _dissimilar(self, reader: DatasetReader, similar: SimilarRows) -> Iterator[_Item]:
        def text(index: int) -> str:
            return self._text(reader.row(index))

        origins: dict[int, int] = {}  # of rows that are like one before: -1, or which
        matches = similar.matches(text, self._progress)
        pending = next(matches, None)
        while pending is not None:
            index, like = pending
            own = target(self._kind, reader.row(index))
            same = any(target(self._kind, reader.row(other)) == own for other in like)
            origins[index] = -1 if same else origins.get(like[0], like[0])
            try:
                pending = matches.send(not same)
            except StopIteration:
                pending = None
        for index, row in reader.rows():
            origin = origins.get(index)
            if origin == -1:
                self._counts["near_duplicates"] += 1
                continue
            yield _Item(row, reader.split_of(index), "" if origin is None else text(origin))

    def _split(self, items: Iterator[_Item], spec: SplitSpec) -> Iterator[_Item]:
        for item in items:
            split = split_of(item.origin or self._text(item.row), spec)
            yield item._replace(split=split)

    def _with_noise(self, items: Iterator[_Item], noise: NoiseSpec) -> Iterator[_Item]:
        """Copies come after their row, in its split, which is always train."""
        for item in items:
            yield item
            for copy in range(noise.copies if item.split == "train" else 0):
                seed = msgspec.json.encode([noise.seed, copy]) + canonical(item.row)
                generator = random.Random(hashlib.sha256(seed).digest())  # noqa: S311 - no secret

                def change(text: str, generator: random.Random = generator) -> str:
                    return mistyped(text, noise.probability, generator)

                row = with_texts(self._kind, item.row, change, inputs_only=True)
                if row != item.row and all(text.strip() for text in texts(self._kind, row)):
                    self._counts["rows_added"] += 1
                    yield item._replace(row=row)

    def _text(self, row: Row) -> str:
        """All texts of a row, by which rows are compared."""
        return normal_form("\n".join(texts(self._kind, row)))


def split_of(text: str, spec: SplitSpec) -> Split:
    """The split of a text, in its normal form: a function of it and the salt alone."""
    data = f"{spec.salt}\0{text}".encode()
    drawn = int.from_bytes(hashlib.blake2b(data, digest_size=8).digest()) / 2**64
    if drawn < spec.validation:
        return "validation"
    return "test" if drawn < spec.validation + spec.test else "train"


def mistyped(text: str, probability: float, generator: random.Random) -> str:
    """The text with characters dropped, or swapped with the next one, as typists do."""
    chars = list(text)
    result: list[str] = []
    at = 0
    while at < len(chars):
        if generator.random() >= probability:
            result.append(chars[at])
        elif generator.random() < 0.5 and at + 1 < len(chars):
            result += [chars[at + 1], chars[at]]
            at += 1
        at += 1
    return "".join(result)
