"""The calls about evaluations, and what their requests are made of; see `calls`."""

import json
from collections.abc import Sequence
from typing import Any

from llmos.v1 import dataset_pb2, evaluation_pb2
from llmos.v1 import evaluation_service_pb2 as pb
from llmos_client import datasets, evaluations, parsing_evaluations, parsing_operations, results
from llmos_client.calls import Call
from llmos_client.options import EvaluateOptions, EvaluationPart, check_names
from llmos_client.parsing_base import enum
from llmos_client.requests import enum_value, generate_request, priority_value

_SETTINGS = ("metrics", "characters", "no_stemming", "max_order", "window", "system", "question")


def evaluate_model(
    model: str | None,
    parts: Sequence[EvaluationPart | str],
    answers: str | None,
    options: EvaluateOptions,
) -> Call[results.Operation[evaluations.Evaluation]]:
    """Call EvaluateModel."""
    check_names(options, EvaluateOptions)
    if (model is None) == (answers is None):
        raise TypeError("say either a model, or the dataset of the answers")
    request = pb.EvaluateModelRequest(
        parts=map(make_part, parts),
        max_examples=options.get("max_examples"),
        seed=options.get("seed"),
        resamples=options.get("resamples"),
        confidence=options.get("confidence"),
        concurrency=options.get("concurrency"),
        priority=priority_value(options.get("priority")),
        request_id=options.get("request_id", ""),
    )
    if model is not None:
        request.model = model
    else:
        request.answers = answers or ""
    return Call("evaluations", "EvaluateModel", request, parsing_operations.operation)


def get_evaluation(name: str) -> Call[evaluations.Evaluation]:
    """Call GetEvaluation."""
    request = pb.GetEvaluationRequest(name=_name(name))
    return Call("evaluations", "GetEvaluation", request, parsing_evaluations.evaluation)


def list_evaluations(model: str, page_token: str) -> Call[tuple[list[evaluations.Evaluation], str]]:
    """Call ListEvaluations for one page; the answer has the next page's token."""

    def parse(response: Any) -> tuple[list[evaluations.Evaluation], str]:
        found = [parsing_evaluations.evaluation(each) for each in response.evaluations]
        return found, response.next_page_token

    request = pb.ListEvaluationsRequest(model=model, page_token=page_token)
    return Call("evaluations", "ListEvaluations", request, parse)


def delete_evaluation(name: str) -> Call[None]:
    """Call DeleteEvaluation."""
    request = pb.DeleteEvaluationRequest(name=_name(name))
    return Call("evaluations", "DeleteEvaluation", request, lambda _: None)


def list_examples(
    name: str, result: str, page_size: int, page_token: str
) -> Call[tuple[list[evaluations.EvaluationExample], str]]:
    """Call ListEvaluationExamples for one page."""

    def parse(response: Any) -> tuple[list[evaluations.EvaluationExample], str]:
        found = [
            evaluations.EvaluationExample(
                each.row,
                json.loads(each.input_json),
                json.loads(each.output_json),
                dict(each.metrics),
                each.error,
            )
            for each in response.examples
        ]
        return found, response.next_page_token

    request = pb.ListEvaluationExamplesRequest(
        parent=_name(name), result=result, page_size=page_size, page_token=page_token
    )
    return Call("evaluations", "ListEvaluationExamples", request, parse)


def compare_evaluations(
    first: str, second: str, resamples: int | None, confidence: float | None
) -> Call[list[evaluations.EvaluationDifference]]:
    """Call CompareEvaluations."""

    def parse(response: Any) -> list[evaluations.EvaluationDifference]:
        return [parsing_evaluations.difference(each) for each in response.differences]

    request = pb.CompareEvaluationsRequest(
        first=_name(first), second=_name(second), resamples=resamples, confidence=confidence
    )
    # Thousands of sets of thousands of examples take a while.
    return Call("evaluations", "CompareEvaluations", request, parse, small=False)


def list_suites() -> Call[list[evaluations.Suite]]:
    """Call ListSuites."""

    def parse(response: Any) -> list[evaluations.Suite]:
        kinds = dataset_pb2.DatasetKind
        return [
            evaluations.Suite(
                each.id,
                enum(datasets.DatasetKind, kinds, "DATASET_KIND_", each.kind),
                each.row_count,
                each.description,
            )
            for each in response.suites
        ]

    return Call("evaluations", "ListSuites", pb.ListSuitesRequest(), parse)


def make_part(given: EvaluationPart | str) -> pb.EvaluationPart:
    """Build one part; a bare name is a dataset's, or "suites/ID"."""
    if isinstance(given, str):
        given = {"dataset": given}
    known = {**EvaluationPart.__annotations__}
    unknown = set(given) - set(known)
    if unknown:
        raise TypeError(f"no such setting of a part: {', '.join(sorted(unknown))}")
    part = pb.EvaluationPart(label=given.get("name", ""))
    data = given["dataset"]
    if data.startswith("suites/"):
        part.suite = data.removeprefix("suites/")
    else:
        part.dataset = data
    if given.get("split"):
        part.split = enum_value(dataset_pb2.DatasetSplit, "DATASET_SPLIT_", str(given["split"]))
    if given.get("task"):
        tasks = evaluation_pb2.EvaluationTask
        part.task = enum_value(tasks, "EVALUATION_TASK_", str(given["task"]))
    if given.get("noise"):
        part.noise.probability = given["noise"]
        part.noise.seed = given.get("noise_seed", 0)
    settings = {name: given[name] for name in _SETTINGS if given.get(name) is not None}  # type: ignore[literal-required]
    part.settings.MergeFrom(evaluation_pb2.EvaluationSettings(**settings))
    like = generate_request("-", "-", **given.get("sampling", {}))
    for field in ("sampling", "stopping"):
        if getattr(like, field).ByteSize():
            getattr(part.settings, field).CopyFrom(getattr(like, field))
    return part


def _name(name: str) -> str:
    return name if name.startswith("evaluations/") else f"evaluations/{name}"
