"""build/bench.json as an SVG of ratios: `python -m benchmarks.chart [OUT.svg]`."""

import json
import sys
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.process import ROOT

_WIDTH, _ROW, _LABEL, _UNIT = 760, 22, 250, 110  # pixels; of one ratio


def draw(result: dict[str, Any]) -> str:
    """Bars by peer and measure; the line at 1 is the peer's own speed."""
    y, body = 20, []
    for pair in result["pairs"]:
        title = f"against {pair['peer']} ({pair['about']['peer']})"
        body.append(f'<text x="0" y="{y + 14}" font-weight="bold">{escape(title)}</text>')
        y += _ROW
        for row in pair["medians"]:
            if row["ratio"] is not None:
                body += _bar(y, row["measure"], row["ratio"])
                y += _ROW
        y += _ROW // 2
    line = _LABEL + _UNIT
    body.append(f'<path d="M{line} 16V{y - 10}" stroke="#444" stroke-dasharray="3 3"/>')
    style = 'font-family="sans-serif" font-size="13" fill="#222"'
    size = f'width="{_WIDTH}" height="{y}" viewBox="0 0 {_WIDTH} {y}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n'
        f'<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _bar(y: int, measure: str, ratio: float) -> list[str]:
    width = min(ratio * _UNIT, _WIDTH - _LABEL - 60)
    color = "#3a7d44" if ratio >= 1 else "#b5523b"
    return [
        f'<text x="{_LABEL - 8}" y="{y + 14}" text-anchor="end">{escape(measure)}</text>',
        f'<rect x="{_LABEL}" y="{y + 3}" width="{width:.0f}" height="{_ROW - 7}" fill="{color}"/>',
        f'<text x="{_LABEL + width + 6:.0f}" y="{y + 14}">{ratio:.2f}</text>',
    ]


def main() -> None:
    """Read the last run; write docs/benchmarks.svg, or the file that was named."""
    result = json.loads((ROOT / "build" / "bench.json").read_text())
    named = [Path(name) for name in sys.argv[1:]]
    target = named[0] if named else ROOT / "docs" / "benchmarks.svg"
    target.write_text(draw(result))
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
