"""From protos to what the SDK says about evaluations."""

from typing import Any

from llmos.v1 import evaluation_pb2
from llmos_client import evaluations
from llmos_client.parsing_base import enum, moment


def evaluation(proto: evaluation_pb2.Evaluation) -> evaluations.Evaluation:
    """Parse an Evaluation."""
    return evaluations.Evaluation(
        name=proto.name,
        create_time=moment(proto, "create_time"),
        model_version=proto.model_version,
        model_digest=proto.model_digest,
        answers=proto.answers,
        results=tuple(map(_result, proto.results)),
        cost=_cost(proto.cost) if proto.HasField("cost") else None,
    )


def difference(proto: Any) -> evaluations.EvaluationDifference:
    """Parse an EvaluationDifference."""
    names = evaluations.EvaluationDifference.__slots__
    return evaluations.EvaluationDifference(**{name: getattr(proto, name) for name in names})


def _result(proto: evaluation_pb2.EvaluationResult) -> evaluations.EvaluationResult:
    tasks = evaluation_pb2.EvaluationTask
    return evaluations.EvaluationResult(
        name=proto.name,
        data=proto.data,
        data_digest=proto.data_digest,
        task=enum(evaluations.EvaluationTask, tasks, "EVALUATION_TASK_", proto.task),
        example_count=proto.example_count,
        failed_count=proto.failed_count,
        metrics=tuple(map(_metric, proto.metrics)),
    )


def _metric(proto: evaluation_pb2.EvaluationMetric) -> evaluations.EvaluationMetric:
    return evaluations.EvaluationMetric(
        name=proto.name,
        value=proto.value,
        low=proto.low if proto.HasField("low") else None,
        high=proto.high if proto.HasField("high") else None,
        signature=proto.signature,
    )


def _cost(proto: evaluation_pb2.EvaluationCost) -> evaluations.EvaluationCost:
    def seconds(field: str) -> float:
        return float(getattr(proto, field).ToTimedelta().total_seconds())

    return evaluations.EvaluationCost(
        seconds=seconds("duration"),
        prompt_tokens=proto.prompt_tokens,
        completion_tokens=proto.completion_tokens,
        tokens_per_second=proto.tokens_per_second,
        first_token_p50=seconds("first_token_p50"),
        first_token_p95=seconds("first_token_p95"),
        latency_p50=seconds("latency_p50"),
        latency_p95=seconds("latency_p95"),
        resident_bytes=proto.resident_bytes,
        dtype=proto.dtype,
    )
