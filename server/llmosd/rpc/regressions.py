"""Whether a figure got worse."""

from llmos.v1 import evaluation_pb2
from llmosd.errors import MetricRegressed

# Figures of which less is better; of all others more is.
LOWER_IS_BETTER = frozenset(
    {"perplexity", "bits_per_byte", "mse", "mae", "log_loss", "calibration_error", "gap", "flips"}
)


def regression(metric: str, was: float, now: float) -> float:
    """By how much a figure is worse, as a share of what it was (of 0, by how much)."""
    worse = now - was if metric in LOWER_IS_BETTER else was - now
    return worse / abs(was) if was else worse


def check_regression(
    before: evaluation_pb2.Evaluation, after: evaluation_pb2.Evaluation, allowed: float
) -> None:
    """Raise MetricRegressed where a part's first metric got worse by more than a share of it."""
    for old, new in zip(before.results, after.results, strict=True):
        metric, was, now = old.metrics[0].name, old.metrics[0].value, new.metrics[0].value
        worse = regression(metric, was, now)
        if worse > allowed:
            raise MetricRegressed(
                f"{metric} on {old.name} went from {was:.6g} to {now:.6g}, which is {worse:.1%} "
                f"worse; at most {allowed:.1%} is allowed",
                metadata={"metric": metric, "before": str(was), "after": str(now)},
            )
