"""Rotation of a head, and its way into the cache, in whole vectors.

Scalar loops say the same in fewer lines and take ten times as long: the compiler cannot know that a
row, its tables and the cache do not overlap.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from llmos_kernels import _vector as vec
from llmos_kernels._jit import LANES

BLOCK = 16  # positions of a block of the cache
_LONG, _HALF = ir.IntType(64), ir.IntType(16)


@intrinsic
def _rotate(_context: Any, line: Any, cosine: Any, sine: Any, half: Any) -> Any:

    def codegen(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        *addresses, half = arguments
        line, cosine, sine = (vec.float_pointer(builder, each) for each in addresses)

        def turn(at: Any, load: Callable[..., Any], store: Callable[..., Any]) -> None:
            other = builder.add(at, half)
            low, high = load(builder, line, at), load(builder, line, other)
            c, s = load(builder, cosine, at), load(builder, sine, at)
            turned = builder.fsub(builder.fmul(low, c), builder.fmul(high, s))
            store(builder, turned, line, at)
            turned = builder.fadd(builder.fmul(high, c), builder.fmul(low, s))
            store(builder, turned, line, other)

        vec.along(builder, half, turn)
        return _LONG(0)

    return types.int64(line, cosine, sine, half), codegen


@intrinsic
def _scatter(_context: Any, line: Any, size: Any, target: Any, stride: Any, array: Any) -> Any:

    def codegen(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        line, size, target, stride, _ = arguments
        source = vec.float_pointer(builder, line)
        wide = isinstance(array.dtype, types.Float)
        kind = vec.FLOAT if wide else _HALF
        out = builder.inttoptr(target, kind.as_pointer())

        def put(at: Any, load: Callable[..., Any], _store: Callable[..., Any]) -> None:
            value = load(builder, source, at)
            value = value if wide else vec.narrow(builder, value)
            lanes = LANES if isinstance(value.type, ir.VectorType) else 0
            for lane in range(lanes or 1):
                one = builder.extract_element(value, vec.INDEX(lane)) if lanes else value
                where = builder.mul(builder.add(at, _LONG(lane)), stride)
                builder.store(one, builder.gep(out, [where]))

        vec.along(builder, size, put)
        return _LONG(0)

    return types.int64(line, size, target, stride, array), codegen


rotate_line: Any = _rotate
"""rotate_line(line, cosine, sine, half): turn the pairs (line[i], line[i + half]); addresses."""


@intrinsic
def _scatter_pairs(_context: Any, line: Any, size: Any, target: Any, stride: Any) -> Any:

    def codegen(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        line, size, target, stride = arguments
        source, word = vec.float_pointer(builder, line), ir.IntType(32)
        out = builder.inttoptr(target, word.as_pointer())
        pairs = ir.VectorType(word, LANES // 2)
        with cgutils.for_range_slice(builder, _LONG(0), size, _LONG(LANES), _LONG) as (at, _):
            halves = vec.narrow(builder, vec.load(builder, source, at))
            both = builder.bitcast(halves, pairs)
            first = builder.udiv(at, _LONG(2))
            for lane in range(LANES // 2):
                where = builder.mul(builder.add(first, _LONG(lane)), stride)
                one = builder.extract_element(both, vec.INDEX(lane))
                builder.store(one, builder.gep(out, [where]))
        return _LONG(0)

    return types.int64(line, size, target, stride), codegen


scatter_line: Any = _scatter
"""scatter_line(line, size, target, stride, array): write `size` floats `stride` elements apart.

As elements of `array`: float32, or uint16 holding bfloat16 bits, rounded to nearest, ties to even.
"""

scatter_pairs: Any = _scatter_pairs
"""scatter_pairs(line, size, target, stride): pairs of bfloat16, `stride` pairs apart.

`size` is a multiple of LANES.
"""
