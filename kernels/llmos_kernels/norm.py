"""RMSNorm and LayerNorm over rows; a row's result does not depend on the other rows.

Sums run over LANES partial sums, added up in one fixed order. Twins: reference.rms_norm,
reference.layer_norm.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from llmos_kernels import _vector as vec
from llmos_kernels._jit import LANES, address, fma, inlined, parallel_kernel


@parallel_kernel
def rms_norm(x: Any, weight: Any, eps: Any, out: Any) -> None:
    """Root mean square normalization (Zhang and Sennrich, 2019).

    Args:
        x: (rows, size) float32, contiguous.
        weight: (size,) float32.
        eps: float32, added to the mean square.
        out: like x; may be x.
    """
    for row in prange(x.shape[0]):
        normalize(x[row], weight, eps, out[row])


@parallel_kernel
def layer_norm(x: Any, weight: Any, bias: Any, eps: Any, out: Any) -> None:
    """Layer normalization (Ba et al., 2016), arguments as rms_norm, `bias` (size,) float32."""
    size = x.shape[1]
    for row in prange(x.shape[0]):
        partial = np.zeros(LANES, np.float32)
        for at in range(size):
            partial[at % LANES] += x[row, at]
        mean = _total(partial) / np.float32(size)
        partial[:] = np.float32(0.0)
        for at in range(size):
            off = x[row, at] - mean
            partial[at % LANES] = fma(off, off, partial[at % LANES])
        scale = np.float32(1.0) / np.sqrt(_total(partial) / np.float32(size) + eps)
        for at in range(size):
            out[row, at] = fma((x[row, at] - mean) * scale, weight[at], bias[at])


@inlined
def normalize(x: Any, weight: Any, eps: Any, out: Any) -> None:
    """RMSNorm of one contiguous row; `out` may be x."""
    _normalize(address(x, 0), address(weight, 0), eps, address(out, 0), np.int64(x.shape[0]))


@intrinsic
def _normalized(_context: Any, x: Any, weight: Any, eps: Any, out: Any, size: Any) -> Any:

    def codegen(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        x, weight, eps, out, size = arguments
        x, weight, out = (vec.float_pointer(builder, each) for each in (x, weight, out))
        mean = builder.fdiv(_square_sum(builder, x, size), builder.sitofp(size, vec.FLOAT))
        root = vec.square_root(builder, builder.fadd(mean, eps))
        scale = builder.fdiv(ir.Constant(vec.FLOAT, 1.0), root)
        scales = vec.splat(builder, scale)

        def put(at: Any, load: Any, store: Any) -> None:
            value = load(builder, x, at)
            factor = scales if value.type == vec.VECTOR else scale
            value = builder.fmul(builder.fmul(value, factor), load(builder, weight, at))
            store(builder, value, out, at)

        vec.along(builder, size, put)
        return ir.Constant(ir.IntType(64), 0)

    return types.int64(x, weight, eps, out, size), codegen


_normalize: Any = _normalized


def _square_sum(builder: Any, x: Any, size: Any) -> Any:
    """Over LANES partial sums; what fills no vector goes to the first."""
    partial = cgutils.alloca_once_value(builder, vec.zeros())
    first = builder.bitcast(partial, vec.FLOAT.as_pointer())

    def add(at: Any, load: Any, _store: Any) -> None:
        value = load(builder, x, at)
        if value.type == vec.VECTOR:
            terms = [value, value, builder.load(partial)]
            builder.store(builder.call(vec.fma_function(builder), terms), partial)
        else:
            builder.store(builder.fma(value, value, builder.load(first)), first)

    vec.along(builder, size, add)
    return vec.add_lanes(builder, builder.load(partial))


@inlined
def _total(partial: Any) -> Any:
    """Sum of the lanes, pairwise."""
    width = LANES // 2
    while width > 0:
        for lane in range(width):
            partial[lane] += partial[lane + width]
        width //= 2
    return partial[0]
