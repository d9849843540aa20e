"""What becomes of a product of some rows with one panel: from a tile into an array, by vectors."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from llmos_kernels import _vector as vec
from llmos_kernels._jit import LANES
from llmos_kernels._products import PANEL, PARTS

_LONG = ir.IntType(64)


def _by_rows(emit: Callable[[Any, Any, Any], None]) -> Any:
    """An intrinsic over rows; `emit` is told where one lies in the tile and in the array."""

    @intrinsic
    def run(_context: Any, tile: Any, rows: Any, out: Any, width: Any) -> Any:
        def codegen(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            tile, rows, out, width = arguments
            tile, out = vec.float_pointer(builder, tile), vec.float_pointer(builder, out)
            with cgutils.for_range(builder, rows) as loop:
                source = builder.gep(tile, [builder.mul(loop.index, _LONG(PANEL))])
                emit(builder, source, builder.gep(out, [builder.mul(loop.index, width)]))
            return _LONG(0)

        return types.int64(tile, rows, out, width), codegen

    return run


def _store(builder: Any, tile: Any, out: Any) -> None:
    for at in range(0, PARTS * LANES, LANES):
        vec.store(builder, vec.load(builder, tile, _LONG(at)), out, _LONG(at))


def _add(builder: Any, tile: Any, out: Any) -> None:
    for at in range(0, PARTS * LANES, LANES):
        before, value = vec.load(builder, out, _LONG(at)), vec.load(builder, tile, _LONG(at))
        vec.store(builder, builder.fadd(before, value), out, _LONG(at))


def _gate(builder: Any, tile: Any, out: Any) -> None:
    gate, up = vec.load(builder, tile, _LONG(0)), vec.load(builder, tile, _LONG(LANES))
    power = vec.exponential(builder, builder.fneg(gate))
    value = builder.fdiv(gate, builder.fadd(ir.Constant(vec.VECTOR, [1.0] * LANES), power))
    vec.store(builder, builder.fmul(value, up), out, _LONG(0))


store_tile: Any = _by_rows(_store)
"""store_tile(tile, rows, out, width): put PANEL columns of `rows` rows to the address `out`.

Its rows are `width` floats long; so for the other two.
"""

add_tile: Any = _by_rows(_add)
"""add_tile(tile, rows, out, width): add instead."""

gate_tile: Any = _by_rows(_gate)
"""gate_tile(tile, rows, out, width): put silu(gate) * up (Shazeer, 2020) into LANES columns.

A panel holds LANES columns of gate and the same of up.
"""
