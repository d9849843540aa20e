"""An evaluation on a terminal: a column for each part, so that they stand side by side."""

from typing import TYPE_CHECKING

import click

from llmos_client.cli.output import human_bytes, human_seconds, print_table

if TYPE_CHECKING:
    from llmos_client.evaluations import Evaluation, EvaluationCost, EvaluationMetric


def print_evaluation(found: "Evaluation") -> None:
    """Print the figures, with their intervals, and what they took."""
    click.echo(f"{found.name}: {found.model_version or found.answers}")
    names = dict.fromkeys(each.name for result in found.results for each in result.metrics)
    rows = [("examples", *(_count(r.example_count, r.failed_count) for r in found.results))]
    for name in names:
        cells = []
        for result in found.results:
            own = [each for each in result.metrics if each.name == name]
            cells.append(_figure(own[0]) if own else "")
        rows.append((name, *cells))
    print_table(("", *(result.name for result in found.results)), rows)
    if found.cost is not None:
        click.echo(_cost(found.cost))


def _count(judged: int, failed: int) -> str:
    return f"{judged:,}, {failed:,} failed" if failed else f"{judged:,}"


def _figure(metric: "EvaluationMetric") -> str:
    if metric.low is None or metric.high is None:
        return f"{metric.value:.4g}"
    return f"{metric.value:.4g} ({metric.low:.4g} to {metric.high:.4g})"


def _cost(cost: "EvaluationCost") -> str:
    parts = [
        human_seconds(cost.seconds),
        f"{cost.tokens_per_second:,.0f} tokens/s",
        f"latency {cost.latency_p50 * 1000:.0f} ms (p95 {cost.latency_p95 * 1000:.0f})",
        f"{human_bytes(cost.resident_bytes)} resident, {cost.dtype}",
    ]
    if cost.completion_tokens:
        first = f"first token {cost.first_token_p50 * 1000:.0f} ms"
        parts.insert(2, f"{first} (p95 {cost.first_token_p95 * 1000:.0f})")
    return "took " + ", ".join(parts)
