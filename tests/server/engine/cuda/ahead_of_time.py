"""Compiles the Triton kernels for GPUs that need not be there; prints what came of each, as JSON.

    python ahead_of_time.py CAPABILITY...       80 is an A100, 90 an H100 or H200

Shapes are those of Llama 3.1 8B. A program of its own, because kernels that were defined under
TRITON_INTERPRET cannot be compiled.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from llmosd.engine.cuda import attention, matvec, pointwise, rotation

TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
BF16, FP32 = "*bf16", "*fp32"
STRIDES = ["key_block", "key_head", "key_position", "value_block", "value_head", "value_position"]
# Launched with any value; the others are multiples of 16.
UNEVEN = {"table_row", "splits", "eps", "scale"}


def cases():
    """Kernel, types of arguments, constants, options."""
    integers = dict.fromkeys([*STRIDES, "qkv_row", "table_row", "splits"], "i32")
    indices = {"tables": "*i32", "tiles": "*i32", "positions": "*i32", "slots": "*i32"}
    heads = {"HEADS": 32, "HEAD_DIM": 128, "BLOCK": 16}
    for kind, vectors, stride, split, window in (
        (BF16, 16, 64, True, 0),
        (BF16, 16, 64, False, 4096),
        (BF16, 64, 64, False, 0),
        (FP32, 16, 32, True, 0),
    ):
        pointers = dict.fromkeys(["qkv", "keys", "values", "out"], kind)
        constants = heads | {"GROUP": 4, "WINDOW": window, "SPLIT": split, "VECTORS": vectors}
        yield (
            attention._attend,
            integers | indices | pointers | {"parts": FP32, "weights": FP32, "scale": "fp32"},
            constants | {"STRIDE": stride, "WIDTH": 128},
            {"num_warps": 4 if kind == BF16 else 8, "num_stages": 2},
        )
    floats = {"parts": FP32, "weights": FP32, "cosine": FP32, "sine": FP32, "eps": "fp32"}
    tensors = dict.fromkeys(["qkv", "keys", "values", "out", "x", "weight", "residual"], BF16)
    sizes = dict.fromkeys(["outputs", "inputs", "features"], "i32")
    known = floats | tensors | indices | integers | sizes | {"gate_up": BF16, "norm": FP32}
    known |= {"bias": FP32}
    yield attention._combine, known, {"SPLITS": 64, "HEAD_DIM": 128, "WIDTH": 128}, {}
    for rope in (True, False):
        constants = heads | {"KV_HEADS": 8, "ROPE": rope, "AT_ONCE": 8, "WIDTH": 64}
        yield rotation._rotate_and_store, known, constants, {}
    for norm, bias, residual, gated in ((1, 0, 0, 0), (0, 1, 1, 0), (1, 1, 0, 1)):
        constants = {"NORM": norm, "BIAS": bias, "RESIDUAL": residual, "GATED": gated}
        constants = {name: bool(value) for name, value in constants.items()}
        outputs = matvec._OUTPUTS // 2 if gated else matvec._OUTPUTS
        yield matvec._matvec, known, constants | {"OUTPUTS": outputs, "INPUTS": 1024}, {}
    yield pointwise._rms_norm, known | {"weight": FP32}, {"WIDTH": 4096}, {}
    yield pointwise._silu_multiply, known, {"WIDTH": 1024}, {}


def compiled(kernel, types, constants, options, capability):
    names = kernel.arg_names
    signature = {name: "constexpr" if name in constants else types[name] for name in names}
    even = {
        (at,): [["tt.divisibility", 16]]
        for at, name in enumerate(names)
        if name not in constants and name not in UNEVEN
    }
    source = ASTSource(
        kernel, signature, {(names.index(name),): value for name, value in constants.items()}, even
    )
    target = GPUTarget("cuda", capability, 32)
    result = triton.compile(source, target=target, options=options)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(result.asm["cubin"])
        file.flush()
        usage = subprocess.run(
            [TOOLS / "cuobjdump", "--dump-resource-usage", file.name],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    assembly = result.asm["ptx"]
    return {
        "kernel": kernel.__name__.strip("_"),
        "types": "float32" if types.get("qkv") == FP32 else "bfloat16",
        "capability": capability,
        "registers": int(re.search(r"REG:(\d+)", usage)[1]),
        "spilled": int(re.search(r"STACK:(\d+)", usage)[1]),
        "shared": result.metadata.shared,
        "matrix_units": "mma" in assembly,
        "wide_loads": len(
            re.findall(r"ld\.global[.\w:]*\.v4|cp\.async\.c\w\.\S+ \[.*0x10", assembly)
        ),
    }


if __name__ == "__main__":
    for each in sys.argv[1:]:
        for case in cases():
            print(json.dumps(compiled(*case, int(each))))
