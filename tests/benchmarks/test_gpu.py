"""The GPU's benchmark on a CPU: it runs, measures a tiny model, and says when there is no GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]


def bench(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *arguments],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment},
    )  # fmt: skip


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu():
    """An exit code of its own, and the reason."""
    done = bench()
    assert done.returncode == 2
    assert "No GPU: torch.cuda.is_available() is false" in done.stdout


def test_a_tiny_run(tmp_path):
    """Everything that needs no GPU is measured and written; nothing is judged by a GPU's targets."""
    path = tmp_path / "report.json"
    done = bench("--device", "cpu", "--tiny", "--no-peer", "--json", str(path))
    assert done.returncode == 0, done.stderr
    report = json.loads(path.read_text())
    rows = {row["name"]: row for row in report["rows"]}
    assert {"decode, one stream", "share of the bandwidth bound", "prefill, 64 tokens"} <= set(rows)
    assert all(row["value"] > 0 for row in rows.values() if row["unit"] == "tokens/s")
    checks = [row for row in rows.values() if row["unit"] == "check"]
    assert len(checks) == 3
    assert all(row["met"] for row in checks)
    assert all(row["met"] is None for row in rows.values() if row["unit"] != "check")
    assert any("not measured" in note for note in report["notes"])
    for name in rows:
        assert name in done.stdout
