"""Reductions in whole vectors: LLVM does not reorder float sums by itself."""

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from llmos_kernels import _vector as vec
from llmos_kernels._jit import LANES


def _vectors(builder: Any, count: Any) -> Any:
    return builder.udiv(count, count.type(LANES))


@intrinsic
def _peak(_context: Any, start: Any, count: Any) -> Any:

    def codegen(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        pointer, total = vec.float_pointer(builder, arguments[0]), arguments[1]
        largest = cgutils.alloca_once(builder, vec.VECTOR)
        builder.store(vec.load(builder, pointer, vec.INDEX(0)), largest)
        with cgutils.for_range(builder, _vectors(builder, total)) as loop:
            vector = vec.load(builder, pointer, builder.mul(loop.index, loop.index.type(LANES)))
            builder.store(vec.maximum(builder, vector, builder.load(largest)), largest)
        return vec.max_lanes(builder, builder.load(largest))

    return types.float32(start, count), codegen


@intrinsic
def _sum(_context: Any, start: Any, count: Any) -> Any:

    def codegen(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        pointer, total = vec.float_pointer(builder, arguments[0]), arguments[1]
        sums = cgutils.alloca_once(builder, vec.VECTOR)
        builder.store(vec.zeros(), sums)
        with cgutils.for_range(builder, _vectors(builder, total)) as loop:
            vector = vec.load(builder, pointer, builder.mul(loop.index, loop.index.type(LANES)))
            builder.store(builder.fadd(builder.load(sums), vector), sums)
        return vec.add_lanes(builder, builder.load(sums))

    return types.float32(start, count), codegen


peak_of: Any = _peak
"""peak_of(start, count): the largest of `count` floats, a positive multiple of LANES."""

sum_of: Any = _sum
"""sum_of(start, count): their sum: lane by lane, then the lanes pairwise."""
