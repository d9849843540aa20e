"""The Triton kernels compile, to machine code, for GPUs that are not there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="triton is not installed: torch's CUDA build brings it")

# Of shared memory, what a program may have on any GPU since Ampere.
LEAST_SHARED = 99 * 1024


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    # Floating-point fusion as Triton has it by default, said aloud, so that it does not warn.
    environment |= {
        "TRITON_CACHE_DIR": str(tmp_path_factory.mktemp("triton")),
        "TRITON_DEFAULT_FP_FUSION": "1",
    }
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("ahead_of_time.py"), "80", "90"],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_all_kernels_compile(reports):
    kernels = {"attend", "combine", "rotate_and_store", "matvec", "rms_norm", "silu_multiply"}
    for capability in (80, 90):
        assert {each["kernel"] for each in reports if each["capability"] == capability} == kernels


def test_they_fit(reports):
    """In shared memory, and in bfloat16 in registers."""
    for each in reports:
        assert each["shared"] <= LEAST_SHARED, each
        assert each["spilled"] == 0 or each["types"] == "float32", each


def test_they_use_what_a_gpu_has(reports):
    """Matrix units for attention, loads of sixteen bytes for whatever waits for memory."""
    for each in reports:
        if each["kernel"] == "attend" and each["types"] == "bfloat16":
            assert each["matrix_units"], each
        if each["kernel"] in {"attend", "matvec", "rms_norm"}:
            assert each["wide_loads"], each
