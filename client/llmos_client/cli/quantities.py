"""Durations and shares as people write them."""

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


def parse_share(text: str) -> float:
    """Read a share, 0.02 or 2%; raises ValueError for anything else."""
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)


def read_share(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """Read an option that is a share."""
    if value is None:
        return None
    try:
        return parse_share(value)
    except ValueError:
        raise click.BadParameter(f"{value}: as 0.02, or 2%", ctx, param) from None
