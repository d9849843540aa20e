"""Blocks of int8 products by AMX: an instruction for 16 rows, 16 columns and a group's 64 features.

Panels and rows lie in memory as the tiles want them (Intel SDM, TDPBSUD). What takes the time is
not the products but what a group's end costs each of them: out of the tiles, to float, scaled,
added up. So this pays from 32 rows on, where a group's weights are loaded once for two row tiles;
fewer rows, and int4, are left to the vectors. Bits agree: sums of a group are exact, the rest is in
`_products`' order.

While the products of a row tile are computed, the sums of the one before the last are added up;
what is on its way between the two is in `_SCRATCH`.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from llmos_kernels import _vector as vec
from llmos_kernels._dot import WORDS
from llmos_kernels._jit import LANES
from llmos_kernels._products import DEEP, PANEL, PARTS, Block, Dots
from llmos_kernels.quantize import GROUP

ROWS = 32
_TILE = 16  # rows of a tile; each has 64 bytes
_LINE = 64
_SUMS, _ROWS, _WEIGHTS = 0, 4, 6  # tiles: PARTS for each of two row tiles; two; PARTS
_BYTE, _LONG = ir.IntType(8), ir.IntType(64)
_SCRATCH = ir.ArrayType(_BYTE, 2 * PARTS * _TILE * _LINE)
# Palette 1: of all eight tiles 64 bytes to a row, and 16 rows.
_SIZES, _COUNTS = 64 * 0x0001000100010001, _TILE * 0x0101010101010101
_CONFIG = (1, 0, _SIZES, _SIZES, 0, 0, _COUNTS, 0)


class Amx(Dots):
    """Tiles for many rows of int8 panels, vectors for everything else."""

    matrix_rows = ROWS

    def __init__(self) -> None:
        super().__init__("avx512-vnni")

    def matrix(self, builder: Any, where: list[Any]) -> None:
        """Emit a block of ROWS rows of an int8 panel."""
        _Tiles(builder, ROWS, where).emit()


class _Tiles(Block):
    def emit(self) -> None:
        builder = self.builder
        self._totals = self._room(ir.ArrayType(vec.FLOAT, ROWS * PANEL), vec.FLOAT)
        self._scratch = self._room(_SCRATCH, _BYTE)
        # Loaded instead of tilezero, which waits for the tile's last use.
        self._zero = self._words((0,) * 8)
        self._stride = self.mul(self.groups, GROUP)
        with cgutils.for_range(builder, _LONG(ROWS * PARTS)) as loop:
            vec.store(builder, vec.zeros(), self._totals, self.mul(loop.index, LANES))
        self._call("ldtilecfg", self._words(_CONFIG))
        one, last = _LONG(1), builder.sub(self.groups, _LONG(1))
        self._begin(_LONG(0), 0)
        self._begin(_LONG(0), 1)
        self._put(0)
        with cgutils.for_range_slice(builder, one, self.groups, one, _LONG) as (group, _):
            before = builder.sub(group, one)
            for row_tile in range(2):
                self._begin(group, row_tile)
                self._add_up(before, row_tile)
                self._put(1 - row_tile)
        self._add_up(last, 0)
        self._put(1)
        self._add_up(last, 1)
        self._call("tilerelease")
        for row in range(ROWS):
            for part in range(PARTS):
                place = vec.INDEX(row * PANEL + part * LANES)
                scale = vec.load(builder, self.columns, vec.INDEX(part * LANES))
                value = builder.fmul(vec.load(builder, self._totals, place), scale)
                vec.store(builder, value, self.tile, place)

    def _begin(self, group: Any, row_tile: int) -> None:
        """The products of a row tile; a group's weights stay for the second one."""
        if row_tile == 0:
            base = self.mul(group, GROUP * PANEL)
            for part in range(PARTS):
                at = self.builder.gep(self.panel, [self.add(base, part * LANES * DEEP)])
                self._load(_WEIGHTS + part, at, _LONG(PARTS * LANES * DEEP))
        first = self.builder.mul(self._stride, _LONG(row_tile * _TILE))
        at = self.builder.add(first, self.mul(group, GROUP))
        self._load(_ROWS + row_tile, self.builder.gep(self.numbers, [at]), self._stride)
        for part in range(PARTS):
            sums = _SUMS + row_tile * PARTS + part
            self._load(sums, self._zero, _LONG(0))
            self._call("tdpbsud", _BYTE(sums), _BYTE(_ROWS + row_tile), _BYTE(_WEIGHTS + part))

    def _put(self, row_tile: int) -> None:
        """A row tile's sums, into memory."""
        for part in range(PARTS):
            at = self._sums_of(row_tile, part, 0)
            tile = _BYTE(_SUMS + row_tile * PARTS + part)
            self._call("tilestored64", tile, at, _LONG(_LINE))

    def _add_up(self, group: Any, row_tile: int) -> None:
        """A row tile's sums of a group, scaled, into the totals; as `_Int8Block.group` does it."""
        builder, fma = self.builder, vec.fma_function(self.builder)
        for at in range(_TILE):
            row = row_tile * _TILE + at
            offset = self.splat_word(self.per_row(self.offsets, row, group))
            scale = vec.splat(builder, self.per_row(self.scales, row, group))
            for part in range(PARTS):
                source = builder.bitcast(self._sums_of(row_tile, part, at), WORDS.as_pointer())
                sums = builder.add(builder.load(source, align=_LINE), offset)
                place = vec.INDEX(row * PANEL + part * LANES)
                total = vec.load(builder, self._totals, place)
                value = builder.call(fma, [builder.sitofp(sums, vec.VECTOR), scale, total])
                vec.store(builder, value, self._totals, place)

    def _sums_of(self, row_tile: int, part: int, row: int) -> Any:
        at = ((row_tile * PARTS + part) * _TILE + row) * _LINE
        return self.builder.gep(self._scratch, [_LONG(at)])

    def _load(self, tile: int, address: Any, stride: Any) -> None:
        self._call("tileloadd64", _BYTE(tile), address, stride)

    def _words(self, values: tuple[int, ...]) -> Any:
        """Eight 64-bit numbers in memory, as bytes."""
        room = self._room(ir.ArrayType(_LONG, len(values)), _LONG)
        for index, value in enumerate(values):
            self.builder.store(_LONG(value), self.builder.gep(room, [_LONG(index)]))
        return self.builder.bitcast(room, _BYTE.as_pointer())

    def _room(self, kind: Any, element: Any) -> Any:
        """Memory of the stack, from the beginning of a cache line on."""
        room = cgutils.alloca_once(self.builder, kind)
        room.align = _LINE
        return self.builder.bitcast(room, element.as_pointer())

    def _call(self, name: str, *arguments: Any) -> None:
        kind = ir.FunctionType(ir.VoidType(), [each.type for each in arguments])
        module = self.builder.module
        function = cgutils.get_or_insert_function(module, kind, f"llvm.x86.{name}")
        self.builder.call(function, arguments)
