"""What came of optimizing, on a terminal."""

from typing import TYPE_CHECKING

import click

from llmos_client.cli.output import human_bytes, human_count, print_table

if TYPE_CHECKING:
    from llmos_client.optimizations import OptimizationResult, SweepResult


def print_optimization(result: "OptimizationResult") -> None:
    """Print a table of the version before and after."""
    version, source = result.version, result.source
    report = "  ".join(f"{name} {value:.4g}" for name, value in result.report.items())
    click.echo(f"made {version.name}{f' ({report})' if report else ''}")
    rows: list[tuple[str, ...]] = [
        ("size", human_bytes(source.byte_size), human_bytes(version.byte_size)),
        ("parameters", human_count(source.parameter_count), human_count(version.parameter_count)),
        ("weights", source.dtype, version.dtype),
    ]
    before, after = result.before, result.after
    if before is not None and after is not None:
        for old, new in zip(before.results, after.results, strict=True):
            rows += [
                (f"{old.name} {metric.name}", f"{metric.value:.4g}", f"{new[metric.name]:.4g}")
                for metric in old.metrics
                if any(metric.name == each.name for each in new.metrics)
            ]
        if before.cost is not None and after.cost is not None:
            costs = (before.cost, after.cost)
            rows.append(("tokens/s", *(f"{cost.tokens_per_second:,.0f}" for cost in costs)))
            rows.append(("computed in", *(cost.dtype for cost in costs)))
            rows.append(("resident", *(human_bytes(cost.resident_bytes) for cost in costs)))
    print_table(("", "BEFORE", "AFTER"), rows)
    click.echo(f"  try: llmos load {version.name}, or llmos show {version.model}")


def print_sweep(result: "SweepResult") -> None:
    """Print all trials, the best one marked."""
    names = list(result.trials[0].settings)
    rows: list[tuple[str, ...]] = [
        (
            "*" if at == result.best else "",
            *(trial.settings[name] for name in names),
            f"{trial.value:.5g}" if trial.value is not None else trial.error or "-",
            trial.version.rpartition("/")[2] or "-",
        )
        for at, trial in enumerate(result.trials)
    ]
    print_table(("", *(name.rpartition(".")[2] for name in names), "VALUE", "VERSION"), rows)
    click.echo(f"the best is {result.version.name}")
