"""Durations as people write them."""

import re

import click

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def read_duration(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Read seconds; negative means never."""
    if value is None or value == "never":
        return value if value is None else -1.0
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", value)
    if match is None:
        raise click.BadParameter("as 90s, 10m, 2h, or never", ctx, param)
    return float(match[1]) * _UNITS[match[2]]
