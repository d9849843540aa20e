"""Blocks of products of whole rows (see `whole_rows`) with int8 panels: many by AMX, a few by VNNI.

Panels and rows lie in memory as the tiles want them (Intel SDM, TDPBSUD): an instruction multiplies
16 rows by 16 columns and a group's 64 features, of one plane. Both ways add up a plane exactly, and
finish in one order: bits agree.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from llmos_kernels import _tiles as tiles
from llmos_kernels import _vector as vec
from llmos_kernels._dot import BYTES, DOTS, WORDS
from llmos_kernels._jit import LANES, address, inlined
from llmos_kernels._products import DEEP, PANEL, PARTS, prefetch
from llmos_kernels.aligned import LINE
from llmos_kernels.quantize import GROUP
from llmos_kernels.whole_rows import GROUP_BYTES, PLANE_BYTES, PLANES, ROW_TILE, numbers_of

_BYTE, _WORD, _LONG = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_TILE_FROM = 4  # rows; fewer are quicker by vectors
_STEP = GROUP * PANEL  # bytes of a panel's group
_DOT_BYTES = DEEP * LANES
# Tiles: the sums of PARTS for each of the two planes; the planes; PARTS of weights.
_SUMS, _ROWS, _WEIGHTS = 0, PLANES * PARTS, PLANES * (PARTS + 1)
_TILE_BYTES = ROW_TILE * LINE

Sums = dict[tuple[int, int], Any]  # by plane and part


@inlined
def begin_whole(_x: Any) -> None:
    """quantized_linear.begin_products of WholeRows."""
    _begin_tiles()


@inlined
def end_whole(_x: Any) -> None:
    """quantized_linear.end_products of WholeRows."""
    _end_tiles()


@inlined
def multiply_whole(
    x: Any, first: Any, rows: Any, packed: Any, scales: Any, panel: Any, tile: Any, width: Any
) -> Any:
    """quantized_linear.multiply_rows of WholeRows; between `begin_whole` and `end_whole`."""
    where = (
        numbers_of(x, first), address(x.scales, first), address(x.offsets, first * LANES),
        np.int64(x.offsets.shape[1] * LANES), address(packed, panel * packed.shape[1]),
        address(scales, panel * PANEL), tile, np.int64(width), np.int64(x.numbers.shape[1]),
    )  # fmt: skip
    if rows >= _TILE_FROM:
        count = min(np.int64(rows), np.int64(ROW_TILE))
        _tile_rows(where, count)
        return count
    if rows >= 2:
        _whole_2(where)
        return np.int64(2)
    _whole_1(where)
    return np.int64(1)


class _WholeBlock:
    """The operands of the product of some rows of a row tile with one panel, by address."""

    def __init__(self, builder: Any, where: list[Any]) -> None:
        """`where` is what `multiply_whole` gathers."""
        self.builder = builder
        numbers, scales, offsets, self.plane, panel, columns, tile, self.width, self.groups = where
        self.numbers = builder.inttoptr(numbers, _BYTE.as_pointer())
        self.scales = vec.float_pointer(builder, scales)
        self.offsets = builder.inttoptr(offsets, _WORD.as_pointer())
        self.panel = builder.inttoptr(panel, _BYTE.as_pointer())
        self.columns = vec.float_pointer(builder, columns)
        self.tile = vec.float_pointer(builder, tile)

    def offset(self, plane: int, row: int) -> Any:
        """Where a row's offsets lie; the next row's follow."""
        at = self.builder.mul(self.plane, _LONG(plane))
        at = self.builder.add(at, _LONG(row * LANES))
        return self.builder.gep(self.offsets, [at])

    def finish(self, row: Any, sums: Sums) -> None:
        """Write a row's results: (256 * high + low) * scale * scale of the column."""
        builder, fma = self.builder, vec.fma_function(self.builder)
        scale = vec.splat(builder, builder.load(builder.gep(self.scales, [row])))
        many = ir.Constant(vec.VECTOR, [256.0] * LANES)
        for part in range(PARTS):
            high, low = (builder.sitofp(sums[plane, part], vec.VECTOR) for plane in range(PLANES))
            value = builder.fmul(builder.call(fma, [high, many, low]), scale)
            column = vec.load(builder, self.columns, vec.INDEX(part * LANES))
            at = builder.add(builder.mul(row, self.width), _LONG(part * LANES))
            vec.store(builder, builder.fmul(value, column), self.tile, at)


class Vectors(_WholeBlock):
    """A few rows, by VNNI."""

    def emit(self, rows: int) -> None:
        """Emit a block of `rows` rows."""
        builder = self.builder
        sums: list[Sums] = []
        for row in range(rows):
            sums.append({})
            for plane in range(PLANES):
                at = builder.bitcast(self.offset(plane, row), WORDS.as_pointer())
                for part in range(PARTS):
                    start = builder.load(at, align=4)
                    sums[row][plane, part] = cgutils.alloca_once_value(builder, start)
        with cgutils.for_range(builder, self.groups) as loop:
            self._group(loop.index, sums)
        for row, own in enumerate(sums):
            self.finish(_LONG(row), {place: builder.load(total) for place, total in own.items()})

    def _group(self, group: Any, sums: list[Sums]) -> None:
        builder, dot = self.builder, DOTS["avx512-vnni"]
        base, first = builder.mul(group, _LONG(_STEP)), builder.mul(group, _LONG(GROUP_BYTES))
        for step in range(GROUP // DEEP):
            start = builder.add(base, _LONG(step * PARTS * _DOT_BYTES))
            prefetch(builder, self.panel, start, PARTS * _DOT_BYTES)
            weights = [self._weights(start, part) for part in range(PARTS)]
            for row, own in enumerate(sums):
                for plane in range(PLANES):
                    at = _LONG(plane * PLANE_BYTES + row * GROUP + step * DEEP)
                    at = builder.gep(self.numbers, [builder.add(first, at)])
                    four = builder.load(builder.bitcast(at, _WORD.as_pointer()), align=DEEP)
                    numbers = builder.bitcast(vec.splat_word(builder, four), BYTES)
                    for part, vector in enumerate(weights):
                        total = own[plane, part]
                        value = dot(builder, builder.load(total), vector, numbers)
                        builder.store(value, total)

    def _weights(self, start: Any, part: int) -> Any:
        builder = self.builder
        at = builder.gep(self.panel, [builder.add(start, _LONG(part * _DOT_BYTES))])
        return builder.load(builder.bitcast(at, BYTES.as_pointer()), align=1)


class Tiles(_WholeBlock):
    """Up to ROW_TILE rows, by AMX; between `begin_whole` and `end_whole`."""

    def emit(self, rows: Any) -> None:
        """Emit a block; all of the row tile is multiplied, `rows` rows are written."""
        builder = self.builder
        scratch = cgutils.alloca_once(builder, ir.ArrayType(_BYTE, _ROWS * _TILE_BYTES))
        scratch.align = LINE
        self._scratch = builder.bitcast(scratch, _BYTE.as_pointer())
        for plane in range(PLANES):
            at = builder.bitcast(self.offset(plane, 0), _BYTE.as_pointer())
            for part in range(PARTS):
                tiles.load(builder, _SUMS + plane * PARTS + part, at, LINE)
        with cgutils.for_range(builder, self.groups) as loop:
            self._group(loop.index)
        for tile in range(_ROWS):
            tiles.store(builder, tile, self._sums(tile, _LONG(0)), LINE)
        with cgutils.for_range(builder, rows) as loop:
            sums = {
                (plane, part): self._stored(plane * PARTS + part, loop.index)
                for plane in range(PLANES)
                for part in range(PARTS)
            }
            self.finish(loop.index, sums)

    def _group(self, group: Any) -> None:
        builder = self.builder
        base, first = builder.mul(group, _LONG(_STEP)), builder.mul(group, _LONG(GROUP_BYTES))
        prefetch(builder, self.panel, base, _STEP)
        for part in range(PARTS):
            at = builder.gep(self.panel, [builder.add(base, _LONG(part * _DOT_BYTES))])
            tiles.load(builder, _WEIGHTS + part, at, PARTS * _DOT_BYTES)
        for plane in range(PLANES):
            at = builder.gep(self.numbers, [builder.add(first, _LONG(plane * PLANE_BYTES))])
            tiles.load(builder, _ROWS + plane, at, LINE)
            for part in range(PARTS):
                into = _SUMS + plane * PARTS + part
                tiles.multiply(builder, "tdpbsud", into, _ROWS + plane, _WEIGHTS + part)

    def _sums(self, tile: int, row: Any) -> Any:
        at = self.builder.add(self.builder.mul(row, _LONG(LINE)), _LONG(tile * _TILE_BYTES))
        return self.builder.gep(self._scratch, [at])

    def _stored(self, tile: int, row: Any) -> Any:
        at = self.builder.bitcast(self._sums(tile, row), WORDS.as_pointer())
        return self.builder.load(at, align=LINE)


def _whole_block(num_rows: int) -> Any:
    """An intrinsic for `num_rows` whole rows."""

    @intrinsic
    def multiply(_context: Any, where: Any) -> Any:
        def codegen(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            Vectors(builder, cgutils.unpack_tuple(builder, arguments[0])).emit(num_rows)
            return ir.Constant(ir.IntType(64), 0)

        return types.int64(where), codegen

    return multiply


_whole_1, _whole_2 = _whole_block(1), _whole_block(2)


@intrinsic
def _whole_tile(_context: Any, where: Any, rows: Any) -> Any:
    """Up to ROW_TILE whole rows."""

    def codegen(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        Tiles(builder, cgutils.unpack_tuple(builder, arguments[0])).emit(arguments[1])
        return ir.Constant(ir.IntType(64), 0)

    return types.int64(where, rows), codegen


def _once(emit: Any) -> Any:
    @intrinsic
    def call(_context: Any) -> Any:
        def codegen(_target: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
            emit(builder)
            return ir.Constant(ir.IntType(64), 0)

        return types.int64(), codegen

    return call


_tile_rows: Any = _whole_tile
_begin_tiles, _end_tiles = _once(tiles.begin), _once(tiles.end)
