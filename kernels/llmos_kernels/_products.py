"""The inner blocks of quantized products: some rows by one panel, as LLVM code.

`Block` knows where everything is; `Dots` computes in vectors of sixteen 32-bit sums, with a table's
instruction for four products of bytes. All steps of a group are written out: with the 32 registers
of AVX-512 everything stays in registers. See `_products_avx2` for half of them.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from llmos_kernels import _vector as vec
from llmos_kernels._dot import BYTES, DOTS, WORDS
from llmos_kernels._jit import LANES
from llmos_kernels.quantize import GROUP, HALF

PANEL = 2 * LANES
PARTS = PANEL // LANES
DEEP = 4  # features per dot
_AHEAD = 2048  # bytes that are asked for before they are needed
INT4_WORDS = (HALF // 2 + 4) * PANEL // 4  # of a half group: numbers, scales and minimums


def prefetch(builder: Any, panel: Any, offset: Any, size: int) -> None:
    """Ask for `size` bytes of a panel some way behind `offset`.

    A panel is read in order, but the arithmetic keeps the processor from looking ahead far enough
    by itself.
    """
    at = builder.gep(panel, [builder.add(offset, offset.type(_AHEAD))])
    vec.prefetch(builder, builder.ptrtoint(at, ir.IntType(64)), size)


class Block:
    """The operands of the product of some rows with one panel, by address."""

    def __init__(self, builder: Any, rows: int, where: list[Any]) -> None:
        """`where` are the addresses that quantized_linear.multiply_tile gathers."""
        self.builder, self.rows = builder, rows
        numbers, pairs, scales, offsets, sums, panel, columns, tile, width, groups = where
        self.groups, self.width = groups, width
        byte, word = ir.IntType(8), ir.IntType(32)
        self.numbers = builder.inttoptr(numbers, byte.as_pointer())
        self.pairs = builder.inttoptr(pairs, word.as_pointer())
        self.scales = vec.float_pointer(builder, scales)
        self.offsets = builder.inttoptr(offsets, word.as_pointer())
        self.sums = vec.float_pointer(builder, sums)
        self.panel = builder.inttoptr(panel, byte.as_pointer())
        self.columns = vec.float_pointer(builder, columns)
        self.tile = vec.float_pointer(builder, tile)

    def vector_at(self, offset: Any, kind: Any, align: int = 1) -> Any:
        """A vector of the panel, `offset` bytes into it."""
        pointer = self.builder.bitcast(self.builder.gep(self.panel, [offset]), kind.as_pointer())
        vector = self.builder.load(pointer)
        vector.align = align
        return vector

    def prefetch(self, offset: Any, size: int) -> None:
        """Ask for `size` bytes of the panel some way behind `offset`."""
        prefetch(self.builder, self.panel, offset, size)

    def features(self, row: int, group: Any, step: int | Any) -> Any:
        """Where a row's numbers of one step of a group begin, in features from the first row's."""
        builder = self.builder
        at = builder.mul(self.mul(self.groups, GROUP), group.type(row))
        at = builder.add(at, self.mul(group, GROUP))
        within = at.type(step * DEEP) if isinstance(step, int) else self.mul(step, DEEP)
        return builder.add(at, within)

    def four(self, row: int, group: Any, step: int | Any) -> Any:
        """Four int8 numbers of a row, as one word."""
        at = self.builder.gep(self.numbers, [self.features(row, group, step)])
        return self.builder.load(self.builder.bitcast(at, ir.IntType(32).as_pointer()))

    def per_row(self, array: Any, row: int, index: Any, per_group: int = 1) -> Any:
        """array[row, index], of an array with per_group columns per group."""
        columns = self.mul(self.groups, per_group)
        at = self.builder.add(self.builder.mul(columns, columns.type(row)), index)
        return self.builder.load(self.builder.gep(array, [at]))

    def put(self, value: Any, row: int, column: int) -> None:
        """Write a vector of results."""
        at = self.add(self.builder.mul(self.width, self.width.type(row)), column)
        vec.store(self.builder, value, self.tile, at)

    def mul(self, value: Any, factor: int) -> Any:
        """Times a constant."""
        return self.builder.mul(value, value.type(factor))

    def add(self, value: Any, term: int) -> Any:
        """Plus a constant."""
        return self.builder.add(value, value.type(term))


class Dots:
    """Products by one instruction of DOTS."""

    max_rows = 6  # with their int32 and float32 totals, all that 32 registers hold

    def __init__(self, dot: str) -> None:
        self._dot = DOTS[dot]

    def int8(self, builder: Any, rows: int, where: list[Any]) -> None:
        """Emit a block of an int8 panel."""
        _Int8Block(builder, rows, where, self._dot).emit()

    def int4(self, builder: Any, rows: int, where: list[Any]) -> None:
        """Emit a block of an int4 panel."""
        _Int4Block(builder, rows, where, self._dot).emit()


class _DotBlock(Block):
    def __init__(self, builder: Any, rows: int, where: list[Any], dot: Any) -> None:
        super().__init__(builder, rows, where)
        self._dot = dot
        self.places = [(row, part) for row in range(rows) for part in range(PARTS)]

    def emit(self) -> None:
        builder = self.builder
        totals = {place: cgutils.alloca_once(builder, vec.VECTOR) for place in self.places}
        for total in totals.values():
            builder.store(vec.zeros(), total)
        with cgutils.for_range(builder, self.groups) as loop:
            for place, value in self.group(loop.index, totals).items():
                builder.store(value, totals[place])
        for (row, part), total in totals.items():
            scale = vec.load(builder, self.columns, vec.INDEX(part * LANES))
            value = builder.fmul(builder.load(total), scale)
            self.put(value, row, part * LANES)

    def group(self, group: Any, totals: dict[Any, Any]) -> dict[Any, Any]:
        """The new totals after one group of GROUP features."""
        raise NotImplementedError

    def dots(self, sums: dict[Any, Any], weights: list[Any], group: Any, step: int) -> None:
        """Add one step of four features to every sum."""
        for row in range(self.rows):
            four = vec.splat_word(self.builder, self.four(row, group, step))
            numbers = self.builder.bitcast(four, BYTES)
            for part, vector in enumerate(weights):
                sums[row, part] = self._dot(self.builder, sums[row, part], vector, numbers)


class _Int8Block(_DotBlock):
    def group(self, group: Any, totals: dict[Any, Any]) -> dict[Any, Any]:
        builder = self.builder
        sums: dict[Any, Any] = {}
        for row in range(self.rows):
            offset = vec.splat_word(builder, self.per_row(self.offsets, row, group))
            sums |= {(row, part): offset for part in range(PARTS)}
        base = self.mul(group, GROUP * PANEL)
        for step in range(GROUP // DEEP):
            starts = [(step * PARTS + part) * 4 * LANES for part in range(PARTS)]
            weights = [self.vector_at(self.add(base, at), BYTES) for at in starts]
            self.dots(sums, weights, group, step)
        fma = vec.fma_function(builder)
        result = {}
        for row, part in self.places:
            scale = vec.splat(builder, self.per_row(self.scales, row, group))
            value = builder.sitofp(sums[row, part], vec.VECTOR)
            result[row, part] = builder.call(fma, [value, scale, builder.load(totals[row, part])])
        return result


class _Int4Block(_DotBlock):
    def group(self, group: Any, totals: dict[Any, Any]) -> dict[Any, Any]:
        values = {place: self.builder.load(total) for place, total in totals.items()}
        for half in range(2):
            values = self._half(group, half, values)
        return values

    def _half(self, group: Any, half: int, values: dict[Any, Any]) -> dict[Any, Any]:
        builder = self.builder
        zero = ir.Constant(WORDS, [0] * LANES)
        sums = dict.fromkeys(self.places, zero)
        index = builder.add(self.mul(group, 2), group.type(half))
        base = self.mul(index, INT4_WORDS * 4)
        low = ir.Constant(BYTES, [15] * 4 * LANES)
        four = ir.Constant(BYTES, [4] * 4 * LANES)
        steps = HALF // DEEP // 2
        for step in range(steps):
            starts = [(part * steps + step) * 4 * LANES for part in range(PARTS)]
            pairs = [self.vector_at(self.add(base, at), BYTES) for at in starts]
            first = half * 2 * steps + step
            self.dots(sums, [builder.and_(pair, low) for pair in pairs], group, first)
            self.dots(sums, [builder.lshr(pair, four) for pair in pairs], group, first + steps)
        size = PANEL * HALF // 2
        fma = vec.fma_function(builder)
        result = {}
        for part in range(PARTS):
            at = size + part * LANES * 2
            scale = self._halves(self.add(base, at))
            minimum = self._halves(self.add(base, at + PANEL * 2))
            for row in range(self.rows):
                own = vec.splat(builder, self.per_row(self.scales, row, group))
                total = vec.splat(builder, self.per_row(self.sums, row, index, 2))
                value = builder.sitofp(sums[row, part], vec.VECTOR)
                value = builder.call(fma, [value, builder.fmul(scale, own), values[row, part]])
                result[row, part] = builder.call(fma, [minimum, total, value])
        return result

    def _halves(self, offset: Any) -> Any:
        """LANES float16 numbers as floats."""
        kind = ir.VectorType(ir.HalfType(), LANES)
        return self.builder.fpext(self.vector_at(offset, kind, align=2), vec.VECTOR)
