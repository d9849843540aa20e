"""An engine on a GPU needs torch, numpy, msgspec and safetensors: no numba, no gRPC, no logger."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
# Whatever else a daemon or a CPU's engine needs; importing it here fails.
REFUSED = (
    "numba", "llvmlite", "llmos_kernels", "grpc", "google.protobuf", "llmos", "structlog",
    "llguidance", "protovalidate", "tokenizers", "transformers", "rich", "click",
)  # fmt: skip
REFUSING = f"""
import sys
class Refusing:
    def find_spec(self, name, *_):
        if name.startswith({tuple(f"{name}." for name in REFUSED)!r}) or name in {REFUSED!r}:
            raise ImportError("refused: " + name)
sys.meta_path.insert(0, Refusing())
"""
HAS_TRITON = importlib.util.find_spec("triton") is not None


@pytest.mark.parametrize("module", [
    "llmosd.engine.loader",
    "llmosd.engine.torch_sampler",
    "llmosd.engine.cuda.runner",
    "benchmarks.gpu",
    pytest.param(
        "llmosd.engine.cuda.choices",
        marks=pytest.mark.skipif(
            not HAS_TRITON, reason="triton is not installed: torch's CUDA build brings it"
        ),
    ),
])  # fmt: skip
def test_the_path_of_a_gpu_is_light(module):
    """Imported where the rest cannot be, and without it."""
    code = f"{REFUSING}\nimport {module}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert not {"numba", "grpc", "llmos_kernels"} & set(done.stdout.split())


def test_the_refusal_works():
    """The control: a CPU's engine cannot be imported that way."""
    code = f"{REFUSING}\nimport llmosd.engine.cpu"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "refused: " in done.stderr
