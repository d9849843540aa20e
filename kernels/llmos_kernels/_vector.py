"""LLVM vectors of LANES floats, for kernels whose inner loops are written out.

LLVM splits the vectors where the processor's are narrower; results are the same.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from llmos_kernels._jit import LANES

FLOAT = ir.FloatType()
VECTOR = ir.VectorType(FLOAT, LANES)
INDEX = ir.IntType(32)


def fma_function(builder: Any) -> Any:
    """The lane-wise fused multiply-add."""
    kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
    return cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32")


def float_pointer(builder: Any, address: Any) -> Any:
    """An address as a pointer to float32."""
    return builder.inttoptr(address, FLOAT.as_pointer())


def splat(builder: Any, scalar: Any) -> Any:
    """A vector with `scalar` in every lane."""
    single = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), scalar, INDEX(0))
    lanes = ir.Constant(ir.VectorType(INDEX, LANES), [0] * LANES)
    return builder.shuffle_vector(single, single, lanes)


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
    half, whole = ir.VectorType(ir.IntType(16), LANES), ir.VectorType(INDEX, LANES)
    pointer = builder.gep(builder.inttoptr(address, ir.IntType(16).as_pointer()), [offset])
    bits = builder.load(builder.bitcast(pointer, half.as_pointer()))
    bits.align = 2
    shift = ir.Constant(whole, [16] * LANES)
    return builder.bitcast(builder.shl(builder.zext(bits, whole), shift), VECTOR)


def reduce_words(builder: Any, vector: Any, operation: str) -> Any:
    """One 32-bit integer from LANES, by LLVM's reduction "add" or "smax"."""
    kind = ir.FunctionType(INDEX, [vector.type])
    name = f"llvm.vector.reduce.{operation}.v{LANES}i32"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [vector])


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
    index = ir.VectorType(INDEX, LANES)
    while width:
        turned = ir.Constant(index, [(lane + width) % LANES for lane in range(LANES)])
        vector = combine(vector, builder.shuffle_vector(vector, vector, turned))
        width //= 2
    return builder.extract_element(vector, INDEX(0))


def _at(builder: Any, pointer: Any, offset: Any) -> Any:
    return builder.bitcast(builder.gep(pointer, [offset]), VECTOR.as_pointer())
