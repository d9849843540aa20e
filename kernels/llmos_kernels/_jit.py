"""One njit policy for every kernel, and the few machine operations numba does not spell.

No fastmath anywhere: a kernel's result for a row must not depend on which loop variant the compiler
chose for it, so fused multiply-adds are written as `fma` and sums are spread over lanes by hand.
"""

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16  # of the vectors the kernels are written for; LLVM splits them where it must


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a single-threaded kernel."""
    return njit(cache=True, nogil=True, error_model="numpy")(function)


def parallel_kernel(function: Callable[..., Any]) -> Any:
    """Compile a kernel whose `prange` loops use all of numba's threads."""
    return njit(cache=True, nogil=True, error_model="numpy", parallel=True)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a helper into the kernels that call it."""
    return njit(inline="always", error_model="numpy")(function)


def has_avx512() -> bool:
    """Whether 32 registers of 16 floats are there."""
    return bool(llvm.get_host_cpu_features().get("avx512f", False))


@intrinsic
def _fma(_context: Any, a: Any, _b: Any, _c: Any) -> Any:

    def codegen(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return a(types.float32, types.float32, types.float32), codegen


@intrinsic
def _address(_context: Any, array: Any, offset: Any) -> Any:

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        struct = cgutils.create_struct_proxy(signature.args[0])(context, builder, arguments[0])
        element = context.get_data_type(array.dtype)
        pointer = builder.bitcast(struct.data, element.as_pointer())
        return builder.ptrtoint(builder.gep(pointer, [arguments[1]]), ir.IntType(64))

    return types.int64(array, offset), codegen


@intrinsic
def _widen(_context: Any, value: Any) -> Any:

    def codegen(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        if value == types.float32:
            return arguments[0]
        word = ir.IntType(32)
        bits = builder.shl(builder.zext(arguments[0], word), word(16))
        return builder.bitcast(bits, ir.FloatType())

    return types.float32(value), codegen


@intrinsic
def _borrowed(_context: Any, value: Any) -> Any:

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _unowned(context, builder, signature.args[0], arguments[0])

    return value(value), codegen


def _unowned(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    if isinstance(kind, types.Array):
        array = cgutils.create_struct_proxy(kind)(context, builder, value)
        array.meminfo = cgutils.get_null_value(array.meminfo.type)
        array.parent = cgutils.get_null_value(array.parent.type)
        return array._getvalue()  # noqa: SLF001 - how numba's own code reads it
    if isinstance(kind, types.BaseTuple):
        parts: Any = kind
        for index, part in enumerate(parts):
            own = _unowned(context, builder, part, builder.extract_value(value, index))
            value = builder.insert_value(value, own, index)
    return value


fma: Any = _fma
"""fma(a, b, c): a * b + c with one rounding (IEEE 754 fusedMultiplyAdd), in float32."""

address: Any = _address
"""address(array, offset): where the element `offset` elements into a contiguous array lies."""

widen: Any = _widen
"""widen(x): a float32, or a uint16 holding bfloat16 bits, as float32."""

borrowed: Any = _borrowed
"""borrowed(x): an array, or a tuple of arrays, without its count of references.

Views of it are made and dropped without atomic additions to a counter that all threads share: in
a step of one token these took as long as a tenth of the products. The caller holds the memory.
"""


@inlined
def exp32(x: Any) -> Any:
    """e**x in float32, at most 2 units in the last place off, branch-free so that it vectorizes.

    Range reduction to [-ln2/2, ln2/2] and a polynomial of degree 6 (Cephes expf, Moshier 1992);
    below -87 the result is 0.
    """
    magic = np.float32(12582912.0)  # 1.5 * 2**23: adding it rounds to an integer
    clipped = max(min(x, np.float32(88.0)), np.float32(-87.3))
    shifted = fma(clipped, np.float32(1.44269504), magic)
    power = shifted - magic
    rest = fma(power, np.float32(-0.693359375), clipped)
    rest = fma(power, np.float32(2.12194440e-4), rest)
    poly = np.float32(1.9875691500e-4)
    poly = fma(poly, rest, np.float32(1.3981999507e-3))
    poly = fma(poly, rest, np.float32(8.3334519073e-3))
    poly = fma(poly, rest, np.float32(4.1665795894e-2))
    poly = fma(poly, rest, np.float32(1.6666665459e-1))
    poly = fma(poly, rest, np.float32(5.0000001201e-1))
    poly = fma(poly, rest * rest, rest) + np.float32(1.0)
    scale = np.int32((np.int32(power) + np.int32(127)) << np.int32(23)).view(np.float32)
    return poly * scale if x > np.float32(-87.3) else np.float32(0.0)


@inlined
def tanh32(x: Any) -> Any:
    """Hyperbolic tangent in float32, as 1 - 2 / (e**2x + 1)."""
    one, two = np.float32(1.0), np.float32(2.0)
    return one - two / (exp32(two * x) + one)
