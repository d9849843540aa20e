"""After models were asked: figures with intervals, and what each example is worth."""

from pathlib import Path
from typing import Any

import msgspec

from llmosd.errors import InvalidField
from llmosd.jobs.evaluating.figure import Figure, Material
from llmosd.jobs.evaluating.figures import figures, reference
from llmosd.jobs.evaluating.specs import (
    OUTPUTS,
    REPORT,
    Example,
    Judged,
    MeasureSpec,
    Metric,
    Output,
    PreparedPart,
    Report,
    Result,
    examples_file,
    references_file,
    rows_file,
)
from llmosd.metrics.bootstrap import confidence_interval
from llmosd.progress import Progress
from llmosd.store.files import copy_durably, write_durably

_NO_REFERENCE = "the row has no answer to compare with"


def measure(spec: MeasureSpec, progress: Progress) -> Report:
    """Judge all outputs; write the evaluation's files, durably.

    Raises:
        InvalidField: a part has no example that could be judged, or not enough of them.
    """
    work, output = Path(spec.work), Path(spec.output)
    outputs = _outputs(work / OUTPUTS, len(spec.parts))
    results = []
    for at, part in enumerate(spec.parts):
        progress.check_cancelled()
        progress.report("measure", at, len(spec.parts), "parts")
        shared = work / references_file(at)
        if shared.exists():
            copy_durably(shared, output / shared.name)
        lines = _lines(work / rows_file(at), outputs[at], part)
        results.append(_result(spec, at, part, lines, output))
    report = Report(results=results)
    write_durably(output, REPORT, msgspec.json.encode(report))
    return report


def material(folder: Path, at: int, part: PreparedPart, lines: list[Judged]) -> Material:
    """What figures are made of."""
    judged = [line for line in lines if not line.error]
    shared = folder / references_file(at)
    return Material(
        part,
        [Example(line.row, line.input) for line in judged],
        [line.said for line in judged],
        msgspec.json.decode(shared.read_bytes(), type=list[str]) if shared.exists() else None,
    )


def read_examples(path: Path) -> list[Judged]:
    """The lines of an evaluation's examples."""
    decoder = msgspec.json.Decoder(Judged)
    return [decoder.decode(line) for line in path.read_bytes().splitlines()]


def _outputs(path: Path, parts: int) -> list[dict[int, Output]]:
    """The outputs of each part, by place."""
    found: list[dict[int, Output]] = [{} for _ in range(parts)]
    decoder = msgspec.json.Decoder(Output)
    for line in path.read_bytes().splitlines():
        output = decoder.decode(line)
        found[output.part][output.at] = output
    return found


def _lines(rows: Path, outputs: dict[int, Output], part: PreparedPart) -> list[Judged]:
    decoder = msgspec.json.Decoder(Example)
    lines = []
    for at, line in enumerate(rows.read_bytes().splitlines()):
        example, output = decoder.decode(line), outputs[at]
        error = output.error
        # Of answers to texts, which have no row, nothing is asked.
        if part.spec.task == "answer" and not error and example.input:
            error = "" if reference(example.input) is not None else _NO_REFERENCE
        lines.append(Judged(row=example.row, input=example.input, said=output.said, error=error))
    return lines


def _result(
    spec: MeasureSpec, at: int, part: PreparedPart, lines: list[Judged], output: Path
) -> Result:
    judged = sum(not line.error for line in lines)
    if not judged:
        reason = next((line.error for line in lines), "there are no examples")
        raise InvalidField.of(f"parts[{at}]", f"no example could be judged: {reason}")
    try:
        found = figures(material(Path(spec.work), at, part, lines))
    except ValueError as error:
        raise InvalidField.of(f"parts[{at}]", str(error)) from None
    _write(output / examples_file(at), lines, found)
    return Result(
        part=part,
        judged=judged,
        failed=len(lines) - judged,
        metrics=[_metric(figure, spec) for figure in found],
    )


def _metric(figure: Figure, spec: MeasureSpec) -> Metric:
    bounds: dict[str, Any] = {}
    if figure.table is not None and len(figure.table) > 1:
        interval = confidence_interval(
            figure.table,
            of_sums=figure.of_sums,
            level=spec.confidence,
            resamples=spec.resamples,
            seed=spec.seed,
        )
        bounds = {"low": interval.low, "high": interval.high}
    return Metric(name=figure.name, value=figure.value, signature=figure.signature, **bounds)


def _write(path: Path, lines: list[Judged], found: list[Figure]) -> None:
    """The examples with their own figures."""
    parts = [figure for figure in found if len(figure.each)]
    encoded = []
    place = 0
    for line in lines:
        own: dict[str, float] = {}
        if not line.error:
            own = {figure.name: float(figure.each[place]) for figure in parts}
            place += 1
        encoded.append(msgspec.json.encode(msgspec.structs.replace(line, metrics=own)))
    write_durably(path.parent, path.name, b"".join(line + b"\n" for line in encoded))
