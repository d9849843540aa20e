"""LLVM vectors of LANES floats, for kernels whose inner loops are written out.

LLVM splits the vectors where the processor's are narrower; results are the same.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from llmos_kernels._jit import LANES
from llmos_kernels.aligned import LINE

FLOAT = ir.FloatType()
VECTOR = ir.VectorType(FLOAT, LANES)
INDEX = ir.IntType(32)
_LONG = ir.IntType(64)
_WORDS = ir.VectorType(INDEX, LANES)


def fma_function(builder: Any) -> Any:
    """The lane-wise fused multiply-add."""
    kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
    return cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32")


def float_pointer(builder: Any, address: Any) -> Any:
    """An address as a pointer to float32."""
    return builder.inttoptr(address, FLOAT.as_pointer())


def square_root(builder: Any, value: Any) -> Any:
    """Of one float."""
    kind = ir.FunctionType(FLOAT, [FLOAT])
    return builder.call(
        cgutils.get_or_insert_function(builder.module, kind, "llvm.sqrt.f32"), [value]
    )


def splat(builder: Any, scalar: Any) -> Any:
    """A vector with `scalar` in every lane."""
    return _splat(builder, scalar, VECTOR)


def splat_word(builder: Any, word: Any) -> Any:
    """A vector with a 32-bit integer in every lane."""
    return _splat(builder, word, _WORDS)


def _splat(builder: Any, scalar: Any, kind: Any) -> Any:
    single = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, INDEX(0))
    return builder.shuffle_vector(single, single, ir.Constant(_WORDS, [0] * LANES))


def zeros() -> Any:
    """A vector of zeros."""
    return ir.Constant(VECTOR, [0.0] * LANES)


def load(builder: Any, pointer: Any, offset: Any) -> Any:
    """LANES floats, `offset` floats behind `pointer`, at any alignment."""
    vector = builder.load(_at(builder, pointer, offset))
    vector.align = 4
    return vector


def store(builder: Any, vector: Any, pointer: Any, offset: Any) -> None:
    """Write LANES floats, `offset` floats behind `pointer`, at any alignment."""
    builder.store(vector, _at(builder, pointer, offset)).align = 4


def load_bfloat16(builder: Any, address: Any, offset: Any) -> Any:
    """LANES bfloat16 numbers as floats: they are the floats' upper halves."""
    half = ir.VectorType(ir.IntType(16), LANES)
    pointer = builder.gep(builder.inttoptr(address, ir.IntType(16).as_pointer()), [offset])
    bits = builder.load(builder.bitcast(pointer, half.as_pointer()))
    bits.align = 2
    shift = ir.Constant(_WORDS, [16] * LANES)
    return builder.bitcast(builder.shl(builder.zext(bits, _WORDS), shift), VECTOR)


def widen(builder: Any, value: Any) -> Any:
    """One float, or the bits of a bfloat16 number, as a float."""
    if value.type == FLOAT:
        return value
    return builder.bitcast(builder.shl(builder.zext(value, INDEX), INDEX(16)), FLOAT)


def reduce_words(builder: Any, vector: Any, operation: str) -> Any:
    """One 32-bit integer from LANES, by LLVM's reduction "add" or "smax"."""
    kind = ir.FunctionType(INDEX, [vector.type])
    name = f"llvm.vector.reduce.{operation}.v{LANES}i32"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [vector])


def prefetch(builder: Any, start: Any, size: int) -> None:
    """Ask for the `size` bytes from the address `start` on: to read, into all caches."""
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, INDEX, INDEX, INDEX])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    for line in range(0, size, LINE):
        at = builder.inttoptr(builder.add(start, start.type(line)), byte)
        builder.call(function, [at, INDEX(0), INDEX(3), INDEX(1)])


def round_words(builder: Any, vector: Any) -> Any:
    """To the nearest 32-bit integers, ties to even."""
    unary = ir.FunctionType(VECTOR, [VECTOR])
    function = cgutils.get_or_insert_function(builder.module, unary, f"llvm.nearbyint.v{LANES}f32")
    return builder.fptosi(builder.call(function, [vector]), _WORDS)


def magnitude(builder: Any, vector: Any) -> Any:
    """The bits without the sign: as integers, they are in the order of the magnitudes."""
    return builder.and_(builder.bitcast(vector, _WORDS), ir.Constant(_WORDS, [0x7FFFFFFF] * LANES))


def exponential(builder: Any, x: Any) -> Any:
    """e**x lane by lane, by the steps of `_jit.exp32`."""

    def number(value: float) -> Any:
        return ir.Constant(VECTOR, [value] * LANES)

    fma = fma_function(builder)
    low, magic = number(-87.3), number(12582912.0)
    clipped = builder.select(builder.fcmp_ordered("<", x, number(88.0)), x, number(88.0))
    clipped = maximum(builder, clipped, low)
    power = builder.fsub(builder.call(fma, [clipped, number(1.44269504), magic]), magic)
    rest = builder.call(fma, [power, number(-0.693359375), clipped])
    rest = builder.call(fma, [power, number(2.12194440e-4), rest])
    poly = number(1.9875691500e-4)
    for factor in (
        1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1
    ):  # fmt: skip
        poly = builder.call(fma, [poly, rest, number(factor)])
    poly = builder.call(fma, [poly, builder.fmul(rest, rest), rest])
    poly = builder.fadd(poly, number(1.0))
    words = builder.add(builder.fptosi(power, _WORDS), ir.Constant(_WORDS, [127] * LANES))
    scale = builder.bitcast(builder.shl(words, ir.Constant(_WORDS, [23] * LANES)), VECTOR)
    visible = builder.fcmp_ordered(">", x, low)
    return builder.select(visible, builder.fmul(poly, scale), zeros())


def narrow(builder: Any, value: Any) -> Any:
    """Floats, or one, as bfloat16 bits, rounded to nearest, ties to even."""
    lanes = LANES if isinstance(value.type, ir.VectorType) else 0
    half = ir.IntType(16)

    def constant(number: int) -> Any:
        return ir.Constant(_WORDS, [number] * LANES) if lanes else INDEX(number)

    bits = builder.bitcast(value, _WORDS if lanes else INDEX)
    odd = builder.and_(builder.lshr(bits, constant(16)), constant(1))
    rounded = builder.add(bits, builder.add(odd, constant(0x7FFF)))
    kind = ir.VectorType(half, LANES) if lanes else half
    return builder.trunc(builder.lshr(rounded, constant(16)), kind)


def between(builder: Any, at: Any, first: Any, last: Any) -> Any:
    """Which lanes, counted from `at`, are in [first, last]: 64-bit integers."""

    def from_here(value: Any) -> Any:
        return splat_word(builder, builder.trunc(builder.sub(value, at), INDEX))

    lanes = ir.Constant(_WORDS, list(range(LANES)))
    return builder.and_(
        builder.icmp_signed(">=", lanes, from_here(first)),
        builder.icmp_signed("<=", lanes, from_here(last)),
    )


def along(builder: Any, count: Any, body: Callable[..., None]) -> None:
    """Emit a loop over `count` elements: `body(at, load, store)`.

    The two take a pointer and an offset; they move LANES floats at a time, and single ones at the
    end.
    """

    def load_one(builder: Any, pointer: Any, offset: Any) -> Any:
        return builder.load(builder.gep(pointer, [offset]))

    def store_one(builder: Any, value: Any, pointer: Any, offset: Any) -> None:
        builder.store(value, builder.gep(pointer, [offset]))

    whole = builder.and_(count, _LONG(-LANES))
    with cgutils.for_range_slice(builder, _LONG(0), whole, _LONG(LANES), _LONG) as (at, _):
        body(at, load, store)
    with cgutils.for_range_slice(builder, whole, count, _LONG(1), _LONG) as (at, _):
        body(at, load_one, store_one)


def add_lanes(builder: Any, vector: Any) -> Any:
    """The sum of the lanes, halves upon halves."""
    return _fold(builder, vector, builder.fadd)


def max_lanes(builder: Any, vector: Any) -> Any:
    """The largest lane. LLVM's own reduction minds NaN, one lane after the other."""
    return _fold(builder, vector, lambda a, b: maximum(builder, a, b))


def maximum(builder: Any, a: Any, b: Any) -> Any:
    """Lane by lane."""
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _fold(builder: Any, vector: Any, combine: Callable[[Any, Any], Any]) -> Any:
    width = LANES // 2
    while width:
        turned = ir.Constant(_WORDS, [(lane + width) % LANES for lane in range(LANES)])
        vector = combine(vector, builder.shuffle_vector(vector, vector, turned))
        width //= 2
    return builder.extract_element(vector, INDEX(0))


def _at(builder: Any, pointer: Any, offset: Any) -> Any:
    return builder.bitcast(builder.gep(pointer, [offset]), VECTOR.as_pointer())
