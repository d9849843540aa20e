"""Evaluations: requests as specs, reports as messages."""

import math
from collections.abc import Iterable
from typing import Any, cast

from llmos.v1 import dataset_pb2, evaluation_pb2
from llmos.v1 import evaluation_service_pb2 as pb
from llmosd.errors import InvalidField
from llmosd.jobs.evaluating.specs import (
    SUITES,
    Differences,
    Judged,
    Metric,
    PartSpec,
    Result,
    Task,
)
from llmosd.rpc import convert, convert_datasets
from llmosd.rpc.datasets import Datasets
from llmosd.store.suites import Suite, read_suite

TASKS: dict[int, Task | None] = {
    evaluation_pb2.EVALUATION_TASK_UNSPECIFIED: None,
    evaluation_pb2.EVALUATION_TASK_SCORE: "score",
    evaluation_pb2.EVALUATION_TASK_ANSWER: "answer",
    evaluation_pb2.EVALUATION_TASK_CLASSIFY: "classify",
    evaluation_pb2.EVALUATION_TASK_REGRESS: "regress",
    evaluation_pb2.EVALUATION_TASK_CHOOSE: "choose",
    evaluation_pb2.EVALUATION_TASK_PREFER: "prefer",
    evaluation_pb2.EVALUATION_TASK_CHECK: "check",
}
_NUMBERS = {task: number for number, task in TASKS.items()}
_MAX_ORDER = 5
# Those of metrics.registry, which this process does not import; a test holds them together.
METRICS = (
    "bleu", "chrf", "rouge", "exact_match", "f1", "final_number", "distinct", "self_bleu",
    "length", "texygen_bleu",
)  # fmt: skip


def parts(request: pb.EvaluateModelRequest, datasets: Datasets) -> list[PartSpec]:
    """The parts of a request, their data resolved to versions.

    Raises:
        InvalidField: two parts have one name; there is no such suite.
        DatasetNotFound.
    """
    return check_parts(request.parts, "parts", datasets)


def check_parts(
    given: Iterable[pb.EvaluationPart], field: str, datasets: Datasets
) -> list[PartSpec]:
    """Parts that stand in `field` of a request; raises as `parts` does."""
    found = [_part(f"{field}[{at}]", part, datasets) for at, part in enumerate(given)]
    names = [part.name for part in found]
    for at, name in enumerate(names):
        if name in names[:at]:
            raise InvalidField.of(
                f"{field}[{at}].label", f"there is a {name} already; name it apart"
            )
    return found


def _part(field: str, part: pb.EvaluationPart, datasets: Datasets) -> PartSpec:
    for at, name in enumerate(part.settings.metrics):
        if name not in METRICS:
            known = ", ".join(METRICS)
            raise InvalidField.of(f"{field}.settings.metrics[{at}]", f"must be one of {known}")
    if part.suite:
        read_suite(part.suite, f"{field}.suite")
        data, folder = f"{SUITES}{part.suite}", ""
    else:
        record, path = datasets.locate(part.dataset, f"{field}.dataset")
        data, folder = record.name, str(path)
    settings = part.settings
    return PartSpec(
        name=part.label or data.removeprefix("datasets/"),
        data=data,
        folder=folder,
        split=convert_datasets.SPLITS[part.split] or "",
        task=TASKS[part.task],
        metrics=tuple(dict.fromkeys(settings.metrics)),
        units="characters" if settings.characters else "words",
        stemming=not settings.no_stemming,
        max_order=settings.max_order if settings.HasField("max_order") else _MAX_ORDER,
        noise=part.noise.probability,
        noise_seed=part.noise.seed,
    )


def result(result: Result) -> evaluation_pb2.EvaluationResult:
    """A part's figures."""
    spec = result.part.spec
    return evaluation_pb2.EvaluationResult(
        name=spec.name,
        data=spec.data,
        data_digest=result.part.digest,
        task=cast("Any", _NUMBERS[spec.task]),
        example_count=result.judged,
        failed_count=result.failed,
        metrics=[_metric(metric) for metric in result.metrics],
    )


def _metric(metric: Metric) -> evaluation_pb2.EvaluationMetric:
    return evaluation_pb2.EvaluationMetric(
        name=metric.name,
        value=metric.value,
        low=metric.low,
        high=metric.high,
        signature=metric.signature,
    )


def cost(
    seconds: float, prompt: int, completion: int, first: list[float], latencies: list[float],
    resident_bytes: int, dtype: str,
) -> evaluation_pb2.EvaluationCost:  # fmt: skip
    """What an evaluation took; times in seconds."""
    return evaluation_pb2.EvaluationCost(
        duration=convert.duration(seconds),
        prompt_tokens=prompt,
        completion_tokens=completion,
        tokens_per_second=(completion or prompt) / max(seconds, 1e-9),
        first_token_p50=convert.duration(_percentile(first, 0.5)),
        first_token_p95=convert.duration(_percentile(first, 0.95)),
        latency_p50=convert.duration(_percentile(latencies, 0.5)),
        latency_p95=convert.duration(_percentile(latencies, 0.95)),
        resident_bytes=resident_bytes,
        dtype=dtype,
    )


def _percentile(values: list[float], share: float) -> float:
    """The smallest value that a `share` of them does not exceed; 0 of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)] if ordered else 0.0


def example(judged: Judged, encode: Any) -> pb.EvaluationExample:
    """An example of an evaluation; `encode` makes JSON."""
    return pb.EvaluationExample(
        row=judged.row,
        input_json=encode(judged.input).decode(),
        output_json=encode(judged.said).decode(),
        metrics=judged.metrics,
        error=judged.error,
    )


def differences(found: Differences) -> pb.CompareEvaluationsResponse:
    """A comparison."""
    response = pb.CompareEvaluationsResponse()
    for each in found.differences:
        response.differences.add(
            result=each.result,
            metric=each.metric,
            first=each.first,
            second=each.second,
            difference=each.difference,
            low=each.low,
            high=each.high,
            p_value=each.p_value,
            wins=each.wins,
            example_count=each.examples,
        )
    return response


def suite(known: Suite) -> pb.Suite:
    """A suite as it is listed."""
    kinds = {kind: number for number, kind in convert_datasets.KINDS.items()}
    return pb.Suite(
        id=known.id,
        kind=cast("dataset_pb2.DatasetKind", kinds[known.kind]),
        row_count=sum(1 for _ in known.rows()),
        description=known.description,
    )
