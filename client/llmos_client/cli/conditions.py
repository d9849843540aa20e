"""Conditions of a gate as people write them: "suites/anchors perplexity <= 40"."""

import re
from typing import TYPE_CHECKING

import click

from llmos_client.cli.quantities import parse_share

if TYPE_CHECKING:
    from llmos_client.promotions import GateCondition

FORMS = "ON METRIC >= N, ON METRIC <= N, or ON METRIC worse <= 2%"
_CONDITION = re.compile(r"(\S+)\s+([^\s<>=]+)(\s+worse)?\s*(<=|>=)\s*(\S+)")


def read_conditions(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> "tuple[GateCondition, ...]":
    """Read options or arguments that are conditions, in the FORMS."""
    try:
        return tuple(map(_parse, values))
    except ValueError as error:
        raise click.BadParameter(f"{error}: as {FORMS}", ctx, param) from None


def _parse(text: str) -> "GateCondition":
    from llmos_client.promotions import GateCondition

    match = _CONDITION.fullmatch(text.strip())
    if match is None or (match[3] and match[4] == ">="):
        raise ValueError(repr(text))
    on, metric, worse, relation, limit = match.groups()
    try:
        if worse:
            return GateCondition(on, metric, max_regression=parse_share(limit))
        if relation == ">=":
            return GateCondition(on, metric, at_least=float(limit))
        return GateCondition(on, metric, at_most=float(limit))
    except ValueError:
        raise ValueError(f"{limit!r} in {text!r} is no number") from None


def words(condition: "GateCondition") -> list[str]:
    """Write a condition down, one line for each of its limits."""
    limits = (
        (">= {:g}", condition.at_least),
        ("<= {:g}", condition.at_most),
        ("worse <= {:g}%", None if (worse := condition.max_regression) is None else worse * 100),
    )
    about = f"{condition.suite} {condition.metric}"
    return [f"{about} {form.format(limit)}" for form, limit in limits if limit is not None]
