"""Sums of four products of bytes, the inner step of every quantized matrix product.

Which instruction does it is a table: AVX512-VNNI where the processor has it, plain vector code,
from which LLVM makes what NEON or SSE offer, elsewhere; AVX2 has blocks of its own, see
`_products_avx2`. All are exact, so bits agree. Where there is AMX, int8 weights are multiplied by
activations of another kind, see `_products_amx` and `whole_rows`.
"""

import ctypes
import os
import platform
import sys
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba.core import cgutils

from llmos_kernels._jit import LANES

BYTES = ir.VectorType(ir.IntType(8), 4 * LANES)
WORDS = ir.VectorType(ir.IntType(32), LANES)
_HALVES = ir.VectorType(ir.IntType(16), 2 * LANES)

_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA = 158, 0x1023, 18

Dot = Callable[[Any, Any, Any, Any], Any]


def _vnni(builder: Any, total: Any, unsigned: Any, signed: Any) -> Any:
    """Intel SDM, VPDPBUSD: does not saturate."""
    kind = ir.FunctionType(WORDS, [WORDS, BYTES, BYTES])
    name = "llvm.x86.avx512.vpdpbusd.512"
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(function, [total, unsigned, signed])


def _plain(builder: Any, total: Any, unsigned: Any, signed: Any) -> Any:
    """The even and the odd bytes as 16-bit numbers, multiplied and added in pairs."""
    w, a = builder.bitcast(unsigned, _HALVES), builder.bitcast(signed, _HALVES)
    eight = ir.Constant(_HALVES, [8] * 2 * LANES)
    low = ir.Constant(_HALVES, [255] * 2 * LANES)
    even = builder.and_(w, low), builder.ashr(builder.shl(a, eight), eight)
    odd = builder.lshr(w, eight), builder.ashr(a, eight)
    for pair in (even, odd):
        total = builder.add(total, _multiply_add(builder, *pair))
    return total


def _multiply_add(builder: Any, x: Any, y: Any) -> Any:
    """x[2i] * y[2i] + x[2i+1] * y[2i+1], in 32 bits; LLVM knows the shape as pmaddwd."""
    wide = ir.VectorType(ir.IntType(32), 2 * LANES)
    product = builder.mul(builder.sext(x, wide), builder.sext(y, wide))
    index = ir.VectorType(ir.IntType(32), LANES)
    even = ir.Constant(index, list(range(0, 2 * LANES, 2)))
    odd = ir.Constant(index, list(range(1, 2 * LANES, 2)))
    undefined = ir.Constant(wide, ir.Undefined)
    return builder.add(
        builder.shuffle_vector(product, undefined, even),
        builder.shuffle_vector(product, undefined, odd),
    )


DOTS: dict[str, Dot] = {"avx512-vnni": _vnni, "plain": _plain}
"""dot(builder, total, unsigned, signed): lane i of total + the sum over its four byte pairs."""


def choose_dot() -> str:
    """The fastest of "amx", "avx512-vnni", "avx2" and "plain" here; LLMOS_DOT overrides it."""
    features = llvm.get_host_cpu_features()

    def has(*names: str) -> bool:
        return all(features.get(name, False) for name in names)

    best = "avx512-vnni" if has("avx512vnni") else "plain"
    if best == "plain" and has("avx2", "fma", "f16c"):
        best = "avx2"
    if best == "avx512-vnni" and has("amx-int8", "amx-bf16", "amx-tile"):
        best = "amx"
    chosen = os.environ.get("LLMOS_DOT") or best
    if chosen == "amx" and not _may_use_tiles():
        # Nor may it find code in the cache that a process compiled which was allowed to.
        config: Any = numba.config  # its settings are not annotated
        config.CPU_FEATURES = features.flatten().replace("+amx", "-amx")
        chosen = "avx512-vnni"
    return chosen


def _may_use_tiles() -> bool:
    """Ask Linux for the tiles' registers, for every thread (Documentation/arch/x86/xstate.rst)."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.syscall(_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA) == 0)
