"""The calls about optimizing, and what their requests are made of; see `calls`."""

from collections.abc import Mapping, Sequence
from typing import Any

from llmos.v1 import optimization_service_pb2 as pb
from llmos_client import optimizations, parsing_operations, results
from llmos_client.calls import Call
from llmos_client.evaluation_calls import make_part
from llmos_client.options import OptimizeOptions, TrainOptions, check_names
from llmos_client.requests import enum_value
from llmos_client.training_requests import field_path, train_request

Method = pb.QuantizeMethod | pb.PruneMethod | pb.MergeMethod | pb.AverageMethod


def quantize(dtype: str) -> pb.QuantizeMethod:
    """Build the method that keeps weights in "int8" or "int4"."""
    return pb.QuantizeMethod(dtype=enum_value(pb.QuantizedDtype, "QUANTIZED_DTYPE_", dtype))


def average(others: Mapping[str, float] | Sequence[str], weight: float | None) -> pb.AverageMethod:
    """Build the method that takes the mean with `others`, names, or names and weights."""
    shares = others if isinstance(others, Mapping) else dict.fromkeys(others, 1.0)
    items = [pb.AverageItem(model=name, weight=share) for name, share in shares.items()]
    return pb.AverageMethod(others=items, weight=weight)


def optimize_model(
    model: str, method: Method, options: OptimizeOptions
) -> Call[results.Operation[optimizations.OptimizationResult]]:
    """Call OptimizeModel."""
    check_names(options, OptimizeOptions)
    request = pb.OptimizeModelRequest(
        model=model,
        output_model_id=options.get("output", ""),
        calibration_dataset=options.get("calibration", ""),
        calibration_rows=options.get("calibration_rows"),
        evaluate_on=map(make_part, options.get("evaluate_on", ())),
        max_examples=options.get("max_examples"),
        max_metric_regression=options.get("max_metric_regression"),
        request_id=options.get("request_id", ""),
    )
    getattr(request, _FIELDS[type(method)]).CopyFrom(method)
    return Call("optimization", "OptimizeModel", request, parsing_operations.operation)


def sweep_training(
    model_id: str,
    dataset: str,
    axes: Mapping[str, Sequence[Any]],
    how: Mapping[str, Any],
    options: TrainOptions,
) -> Call[results.Operation[optimizations.SweepResult]]:
    """Call SweepTraining; axes by the names that settings have."""
    request = pb.SweepTrainingRequest(
        training=train_request(model_id, dataset, **options),
        axes=[
            pb.SweepAxis(field=field_path(name), values=map(str, values))
            for name, values in axes.items()
        ],
        **{name: value for name, value in how.items() if value is not None},
    )
    request.training.request_id = ""
    return Call("optimization", "SweepTraining", request, parsing_operations.operation)


_FIELDS: dict[type, str] = {
    pb.QuantizeMethod: "quantize",
    pb.PruneMethod: "prune",
    pb.MergeMethod: "merge",
    pb.AverageMethod: "average",
}
