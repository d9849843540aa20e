"""What llmos does alone: starting, loading, a second turn, single kernels."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.cases import PROMPTS
from benchmarks.peer import processors
from benchmarks.peers.llmos import MODEL, private_daemon
from benchmarks.process import ROOT
from llmos_client.fetch.cache import cache_folder

Figures = dict[str, float]  # by measure: seconds, bytes or tokens per second, or a ratio
_LONG, _ROUNDS = 1000, 5


def measure_alone(dtype: str, say: Callable[[str], None], *, cold: bool) -> Figures:
    """All of it; `cold` compiles every kernel anew, which takes up to a minute."""
    say("alone: kernels")
    figures = kernel_figures()
    say("alone: starting and loading")
    figures["the daemon is ready"] = min(front_ready() for _ in range(_ROUNDS))
    figures |= loading(dtype)
    say("alone: a second turn")
    figures |= second_turn(dtype)
    if cold:
        say("alone: compiling every kernel")
        with tempfile.TemporaryDirectory(prefix="llmos-bench-") as empty:
            figures["load, nothing compiled yet"] = loading(dtype, rounds=1, cache_dir=empty)[
                "load"
            ]
    return figures


def engine_environment() -> dict[str, str]:
    """What the daemon gives its engines."""
    from llmosd.supervisor.launcher import engine_environment as made

    return made(cache_folder(), processors())


def kernel_figures() -> Figures:
    """Those of `benchmarks.kernels`, from a process with an engine's environment."""
    environment = {**os.environ, **engine_environment(), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "benchmarks.kernels"]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, cwd=ROOT)
    figures: Figures = json.loads(done.stdout)
    return figures


def loading(dtype: str, rounds: int = _ROUNDS, **settings: Any) -> Figures:
    """Seconds from LoadModel to READY, packed weights and a spare engine being there; the best."""
    with private_daemon(**settings) as (_, client):
        taken = []
        for _ in range(rounds + (rounds > 1)):  # the first of many quantizes
            time.sleep(4.0)  # what starts in the background is not a part of loading
            began = time.perf_counter()
            client.load_model(MODEL, dtype=dtype).result()
            taken.append(time.perf_counter() - began)
            client.unload_model(MODEL).result()
    return {"load": min(taken)}


def second_turn(dtype: str) -> Figures:
    """Seconds to the first token of a long prompt, and of the same one with more behind it."""
    ids: list[int] = json.loads(PROMPTS.read_text())["ids"]
    colds, warms = [], []
    with private_daemon() as (_, client):
        client.load_model(MODEL, dtype=dtype).result()
        for turn in range(_ROUNDS):
            prompt = (ids[turn * 7 :] + ids)[:_LONG]
            colds.append(_first_token(client, prompt))
            warms.append(_first_token(client, prompt + ids[: 10 + turn]))
    cold, warm = sorted(colds)[_ROUNDS // 2], sorted(warms)[_ROUNDS // 2]
    return {"first token, 1,000 tokens": cold, "first token, second turn": warm}


def _first_token(client: Any, prompt: list[int]) -> float:
    from llmos_client import Delta

    began = time.perf_counter()
    asked = {"tokens": prompt, "max_tokens": 8, "temperature": 0.0, "ignore_eos": True}
    with client.stream(MODEL, **asked) as events:
        for event in events:
            if isinstance(event, Delta):
                return time.perf_counter() - began
    raise RuntimeError("no token came")


def front_ready() -> float:
    """Seconds from the command to a daemon that says SERVING, without models."""
    from llmos_client import Client

    with tempfile.TemporaryDirectory(prefix="llmos-bench-") as name:
        address = f"unix:{name}/llmosd.sock"
        command = [Path(sys.executable).with_name("llmosd"), "--state-dir", name]
        began = time.perf_counter()
        daemon = subprocess.Popen(
            [*command, "--listen", address],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "LLMOSD_SPARE_ENGINE": "0"},
        )
        try:
            while not Path(name, "llmosd.sock").exists():
                time.sleep(0.002)
            with Client(address) as client:
                while client.health() != "serving":
                    time.sleep(0.002)
            return time.perf_counter() - began
        finally:
            daemon.terminate()
            daemon.wait(timeout=60)
