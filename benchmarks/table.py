"""Medians and ratios of a run, as a table for people and as JSON."""

import json
import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.cases import SHOWN, is_time
from benchmarks.pairs import Samples


@dataclass(frozen=True)
class Pair:
    """What llmos and one peer did in turns; without a peer, llmos alone."""

    about_llmos: str
    llmos: Samples
    peer: str = ""
    about_peer: str = ""
    samples: Samples = field(default_factory=dict)


def ratio(measure: str, llmos: float, peer: float) -> float:
    """How many times as fast llmos is: llmos / peer of a rate, peer / llmos of a time."""
    return peer / llmos if is_time(measure) else llmos / peer


def rows(pair: Pair) -> list[tuple[str, float, float | None, float | None]]:
    """Measure, llmos's median, the peer's median, ratio; in the order they are shown."""
    result: list[tuple[str, float, float | None, float | None]] = []
    for measure in SHOWN:
        if measure not in pair.llmos:
            continue
        own = median(pair.llmos[measure])
        if measure not in pair.samples:
            result.append((measure, own, None, None))
            continue
        other = median(pair.samples[measure])
        result.append((measure, own, other, ratio(measure, own, other)))
    return result


def print_pair(console: Console, pair: Pair) -> None:
    """One table."""
    title = f"llmos ({pair.about_llmos})"
    if pair.peer:
        title += f" and {pair.peer} ({pair.about_peer})"
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.caption = "medians" + ("; ratio above 1: llmos is faster" if pair.peer else "")
    table.add_column("Measure")
    for name in ("llmos", pair.peer, "ratio") if pair.peer else ("llmos",):
        table.add_column(name, justify="right")
    for measure, own, other, times in rows(pair):
        cells = [shown(measure, own)]
        if pair.peer:
            cells += [shown(measure, other), "-" if times is None else f"{times:.2f}"]
        table.add_row(measure, *cells)
    console.print(table)


def shown(measure: str, value: float | None) -> str:
    """A value with its unit."""
    if value is None:
        return "-"
    return f"{value * 1000:.0f} ms" if is_time(measure) else f"{value:.1f} tok/s"


def print_figures(console: Console, figures: dict[str, float]) -> None:
    """What llmos did alone."""
    if not figures:
        return
    table = Table(title="llmos alone", title_justify="left")
    table.add_column("Measure")
    table.add_column("", justify="right")
    for name, value in figures.items():
        bytes_ = name == "bandwidth"
        table.add_row(name, f"{value / 1e9:.1f} GB/s" if bytes_ else f"{value * 1000:.2f} ms")
    console.print(table)


def write_json(
    path: Path,
    pairs: list[Pair],
    missing: dict[str, str],
    figures: dict[str, float] | None = None,
    *,
    quick: bool,
) -> None:
    """Everything, samples included."""
    result: dict[str, Any] = {"quick": quick, "machine": machine(), "missing": missing}
    result["alone"] = figures or {}
    result["pairs"] = [
        {
            "peer": pair.peer,
            "about": {"llmos": pair.about_llmos, "peer": pair.about_peer},
            "samples": {"llmos": pair.llmos, "peer": pair.samples},
            "medians": [
                dict(zip(("measure", "llmos", "peer", "ratio"), row, strict=True))
                for row in rows(pair)
            ],
        }
        for pair in pairs
    ]
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")


def machine() -> dict[str, Any]:
    """What the figures belong to."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.machine(),
        "processors": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
    }
