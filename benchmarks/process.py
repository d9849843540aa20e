"""The parent's end of a worker."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from benchmarks.peer import Request, Timing

ROOT = Path(__file__).parents[1]


class PeerFailed(Exception):
    """An engine cannot go on; the message says why."""


class PeerProcess:
    """An engine in a process of its own, to be used in a `with` block."""

    def __init__(
        self, name: str, python: str = sys.executable, more: dict[str, str] | None = None
    ) -> None:
        """Start the worker; its stderr goes to build/bench-NAME.log. `more` is its environment."""
        more = more or {}
        self.name = name
        self.log = ROOT / "build" / f"bench-{name}.log"
        self.log.parent.mkdir(exist_ok=True)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", **more}
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [python, "-m", "benchmarks.worker", name],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT,
                env=environment,
            )  # fmt: skip

    def unavailable(self) -> str:
        """Why it cannot run; empty when it can."""
        return str(self._ask({"do": "available"})["reason"])

    def load(self, gguf: str) -> str:
        """Load the model; returns how it holds the weights."""
        return str(self._ask({"do": "load", "gguf": gguf})["about"])

    def generate(self, batch: list[Request]) -> list[Timing]:
        """Answer a batch; raises PeerFailed also where it answered less than was asked."""
        order = {"do": "generate", "batch": [asdict(request) for request in batch]}
        timings = [Timing(**timing) for timing in self._ask(order)["timings"]]
        if [timing.tokens for timing in timings] != [request.tokens for request in batch]:
            raise PeerFailed(f"{self.name} did not draw the tokens that were asked for")
        return timings

    def close(self) -> None:
        """End the process; its memory is back when this returns."""
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(timeout=90)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise PeerFailed(f"{self.name}'s process ended; see {self.log.relative_to(ROOT)}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerFailed(f"{answer['error']}; see {self.log.relative_to(ROOT)}")
        return answer
