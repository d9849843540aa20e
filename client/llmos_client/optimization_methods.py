"""What a client does to make versions better: quantize, prune, merge, average, sweep."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from llmos.v1 import optimization_service_pb2 as pb
from llmos_client import optimization_calls, optimizations, results
from llmos_client.connection import Connection
from llmos_client.options import OptimizeOptions, TrainOptions


class OptimizationMethods(Connection):
    """The part of Client about optimizing; all are jobs, to be watched by `watch_operation`.

    With `evaluate_on`, the version and the result are judged; one that is worse by more than
    `max_metric_regression`, a share, is not kept.
    """

    def quantize_model(
        self, model: str, dtype: str, **options: Unpack[OptimizeOptions]
    ) -> results.Operation[optimizations.OptimizationResult]:
        """Keep weights in "int8" or "int4"."""
        method = optimization_calls.quantize(dtype)
        return self._call(optimization_calls.optimize_model(model, method, options))

    def prune_model(
        self,
        model: str,
        *,
        sparsity: float = 0.0,
        neurons: float = 0.0,
        **options: Unpack[OptimizeOptions],
    ) -> results.Operation[optimizations.OptimizationResult]:
        """Make a share of the weights zero, and take away a share of the inner neurons."""
        method = pb.PruneMethod(sparsity=sparsity, neurons=neurons)
        return self._call(optimization_calls.optimize_model(model, method, options))

    def merge_adapter(
        self, model: str, **options: Unpack[OptimizeOptions]
    ) -> results.Operation[optimizations.OptimizationResult]:
        """Make a version of whole weights of an adapter and its base."""
        method = pb.MergeMethod()
        return self._call(optimization_calls.optimize_model(model, method, options))

    def average_models(
        self,
        model: str,
        others: Mapping[str, float] | Sequence[str],
        *,
        weight: float | None = None,
        **options: Unpack[OptimizeOptions],
    ) -> results.Operation[optimizations.OptimizationResult]:
        """Take the mean of the weights of versions of one shape."""
        method = optimization_calls.average(others, weight)
        return self._call(optimization_calls.optimize_model(model, method, options))

    def sweep_training(
        self,
        model_id: str,
        dataset: str,
        axes: Mapping[str, Sequence[Any]],
        *,
        metric: str = "",
        maximize: bool = False,
        max_trials: int | None = None,
        seed: int = 0,
        keep_all: bool = False,
        **options: Unpack[TrainOptions],
    ) -> results.Operation[optimizations.SweepResult]:
        """Train with every combination of settings, and keep the best version.

        `axes` as {"optimizer.learning_rate": [1e-3, 3e-3]}.
        """
        how = {
            "metric": metric,
            "maximize": maximize,
            "max_trials": max_trials,
            "seed": seed,
            "keep_all": keep_all,
            "request_id": options.get("request_id", ""),
        }
        call = optimization_calls.sweep_training(model_id, dataset, axes, how, options)
        return self._call(call)
