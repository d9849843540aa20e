"""Two evaluations of the same examples: which is better, and whether that is chance."""

from pathlib import Path

import msgspec

from llmosd.jobs.evaluating.figure import Figure
from llmosd.jobs.evaluating.figures import figures
from llmosd.jobs.evaluating.measure import material, read_examples
from llmosd.jobs.evaluating.specs import (
    REPORT,
    CompareSpec,
    Difference,
    Differences,
    Report,
    Result,
    examples_file,
)
from llmosd.metrics.bootstrap import paired_bootstrap
from llmosd.progress import Progress


def compare(spec: CompareSpec, progress: Progress) -> Differences:
    """Compare what both were asked, results by their names: paired, on examples that both answered.

    Results of other examples, and figures computed otherwise, are left out: there is nothing to
    pair.
    """
    folders = Path(spec.first), Path(spec.second)
    first, second = (_results(folder) for folder in folders)
    found: list[Difference] = []
    for name, (at, one) in first.items():
        progress.check_cancelled()
        if name not in second or second[name][1].part.digest != one.part.digest:
            continue
        other_at, other = second[name]
        pair = _pair(folders, (at, other_at), (one, other))
        found += _differences(name, *pair, spec)
    return Differences(found)


def _results(folder: Path) -> dict[str, tuple[int, Result]]:
    report = msgspec.json.decode((folder / REPORT).read_bytes(), type=Report)
    return {each.part.spec.name: (at, each) for at, each in enumerate(report.results)}


def _pair(
    folders: tuple[Path, Path], places: tuple[int, int], results: tuple[Result, Result]
) -> tuple[list[Figure], list[Figure], int]:
    """The figures of both, on the examples that neither failed at, and how many these are."""
    lines = [
        {line.row: line for line in read_examples(folder / examples_file(at)) if not line.error}
        for folder, at in zip(folders, places, strict=True)
    ]
    rows = [row for row in lines[0] if row in lines[1]]
    if len(rows) < 2:
        return [], [], len(rows)
    one, two = (
        figures(material(folder, at, result.part, [own[row] for row in rows]))
        for folder, at, result, own in zip(folders, places, results, lines, strict=True)
    )
    return one, two, len(rows)


def _differences(
    name: str, first: list[Figure], second: list[Figure], examples: int, spec: CompareSpec
) -> list[Difference]:
    others = {(each.name, each.signature): each for each in second}
    found = []
    for one in first:
        two = others.get((one.name, one.signature))
        if two is None or one.table is None or two.table is None:
            continue
        if one.table.shape != two.table.shape or len(one.table) < 2:
            continue
        made = paired_bootstrap(
            one.table,
            two.table,
            of_sums=one.of_sums,
            level=spec.confidence,
            resamples=spec.resamples,
            seed=spec.seed,
        )
        found.append(
            Difference(
                result=name,
                metric=one.name,
                first=one.value,
                second=two.value,
                difference=made.difference,
                low=made.low,
                high=made.high,
                p_value=made.p_value,
                wins=made.wins,
                examples=examples,
            )
        )
    return found
