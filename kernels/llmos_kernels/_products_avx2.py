"""Blocks of quantized products for AVX2: sixteen registers of eight 32-bit sums.

The steps of a group are a loop, or the compiler would spread them over more registers than there
are. Two rows at a time: measured, more rows or narrower panels are slower. There is no instruction
for four products of bytes that neither saturates nor is newer, so:

int8: even and odd features apart, as pairs of 16-bit numbers, multiplied and added by VPMADDWD. The
    activations come in pairs already (`Quantized.pairs`).
int4: VPMADDUBSW, whose 16-bit sums of two products hold those of a whole half group: 8 steps of
    2 * 15 * 127 are 30,480. They are widened once.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from llmos_kernels import _vector as vec
from llmos_kernels._products import DEEP, INT4_WORDS, PANEL, Block
from llmos_kernels.quantize import GROUP, HALF

_LANES = 8
_VECTORS = PANEL // _LANES
_BYTE, _HALF, _WORD = ir.IntType(8), ir.IntType(16), ir.IntType(32)
_BYTES = ir.VectorType(_BYTE, 4 * _LANES)
_HALVES = ir.VectorType(_HALF, 2 * _LANES)
_WORDS = ir.VectorType(_WORD, _LANES)
_FLOATS = ir.VectorType(ir.FloatType(), _LANES)
_FLOAT16S = ir.VectorType(ir.HalfType(), _LANES)
_VECTOR_BYTES = 4 * _LANES
_HALF_STEPS = HALF // DEEP // 2  # of bytes that hold two numbers each

Places = dict[tuple[int, int], Any]  # by row and vector of the panel


class Avx2:
    """Products by AVX2, FMA and F16C."""

    max_rows = 2

    def int8(self, builder: Any, rows: int, where: list[Any]) -> None:
        """Emit a block of an int8 panel."""
        _Int8(builder, rows, where).emit()

    def int4(self, builder: Any, rows: int, where: list[Any]) -> None:
        """Emit a block of an int4 panel."""
        _Int4(builder, rows, where).emit()


class _Avx2Block(Block):
    """What both formats have in common."""

    def emit(self) -> None:
        """Write the products of all groups to the tile."""
        builder = self.builder
        totals = self.variables(_FLOATS)
        for total in totals.values():
            builder.store(ir.Constant(_FLOATS, [0.0] * _LANES), total)
        with cgutils.for_range(builder, self.groups) as loop:
            self.group(loop.index, totals)
        for (row, vector), total in totals.items():
            scale = builder.load(self.floats(self.columns, vector * _LANES), align=4)
            value = builder.fmul(builder.load(total), scale)
            at = self.add(builder.mul(self.width, self.width.type(row)), vector * _LANES)
            target = builder.bitcast(builder.gep(self.tile, [at]), _FLOATS.as_pointer())
            builder.store(value, target, align=4)

    def group(self, group: Any, totals: Places) -> None:
        """Add one group's products to the totals."""
        raise NotImplementedError

    def variables(self, kind: Any) -> Places:
        """A variable per row and vector; they become registers."""
        places = [(row, vector) for row in range(self.rows) for vector in range(_VECTORS)]
        return {place: cgutils.alloca_once(self.builder, kind) for place in places}

    def floats(self, pointer: Any, offset: int) -> Any:
        """Where _LANES floats lie."""
        at = self.builder.gep(pointer, [vec.INDEX(offset)])
        return self.builder.bitcast(at, _FLOATS.as_pointer())

    def splat(self, scalar: Any) -> Any:
        """A vector of _LANES times a 32-bit scalar."""
        empty = ir.Constant(ir.VectorType(scalar.type, _LANES), ir.Undefined)
        single = self.builder.insert_element(empty, scalar, vec.INDEX(0))
        return self.builder.shuffle_vector(single, single, ir.Constant(_WORDS, [0] * _LANES))

    def call(self, name: str, result: Any, *arguments: Any) -> Any:
        """An LLVM intrinsic."""
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, arguments)

    def multiply_add(self, *factors: Any) -> Any:
        """VPMADDWD: products of 16-bit numbers, added in pairs."""
        return self.call("llvm.x86.avx2.pmadd.wd", _WORDS, *factors)

    def fma(self, *arguments: Any) -> Any:
        """Lane by lane."""
        return self.call(f"llvm.fma.v{_LANES}f32", _FLOATS, *arguments)

    def accumulate(self, variable: Any, value: Any) -> None:
        """Add to an integer variable."""
        self.builder.store(self.builder.add(self.builder.load(variable), value), variable)


class _Int8(_Avx2Block):
    def group(self, group: Any, totals: Places) -> None:
        builder, sums = self.builder, self.variables(_WORDS)
        for (row, _), variable in sums.items():
            builder.store(self.splat(self.per_row(self.offsets, row, group)), variable)
        base = self.mul(group, GROUP * PANEL)
        eight = ir.Constant(_HALVES, [8] * 2 * _LANES)
        low = ir.Constant(_HALVES, [255] * 2 * _LANES)
        with cgutils.for_range(builder, group.type(GROUP // DEEP)) as loop:
            step = builder.add(base, self.mul(loop.index, PANEL * DEEP))
            self.prefetch(step, PANEL * DEEP)
            pairs = [self._pairs(row, group, loop.index) for row in range(self.rows)]
            for vector in range(_VECTORS):
                weights = self.vector_at(self.add(step, vector * _VECTOR_BYTES), _HALVES)
                split = builder.and_(weights, low), builder.lshr(weights, eight)
                for row in range(self.rows):
                    for numbers, own in zip(split, pairs[row], strict=True):
                        self.accumulate(sums[row, vector], self.multiply_add(numbers, own))
        for (row, vector), total in totals.items():
            scale = self.splat(self.per_row(self.scales, row, group))
            value = builder.sitofp(builder.load(sums[row, vector]), _FLOATS)
            builder.store(self.fma(value, scale, builder.load(total)), total)

    def _pairs(self, row: int, group: Any, step: Any) -> list[Any]:
        """The even and the odd two of a step's four numbers, in every lane."""
        at = self.builder.udiv(self.features(row, group, step), group.type(2))
        words = [self.builder.gep(self.pairs, [self.add(at, odd)]) for odd in (0, 1)]
        return [
            self.builder.bitcast(self.splat(self.builder.load(word)), _HALVES) for word in words
        ]


class _Int4(_Avx2Block):
    def group(self, group: Any, totals: Places) -> None:
        for half in (0, 1):
            index = self.add(self.mul(group, 2), half)
            base = self.mul(index, INT4_WORDS * 4)
            sums = self.variables(_HALVES)
            for variable in sums.values():
                self.builder.store(ir.Constant(_HALVES, [0] * 2 * _LANES), variable)
            for step in range(_HALF_STEPS):
                self._step(group, half, step, base, sums)
            for vector in range(_VECTORS):
                self._add(group, index, base, vector, sums, totals)

    def _step(self, group: Any, half: int, step: int, base: Any, sums: Places) -> None:
        """Two steps of four features: their numbers share bytes."""
        builder = self.builder
        low = ir.Constant(_BYTES, [15] * 4 * _LANES)
        four = ir.Constant(_HALVES, [4] * 2 * _LANES)
        first = half * 2 * _HALF_STEPS + step
        own = [
            [builder.bitcast(self.splat(self.four(row, group, at)), _BYTES)
             for at in (first, first + _HALF_STEPS)]
            for row in range(self.rows)
        ]  # fmt: skip
        for vector in range(_VECTORS):
            part, half_part = divmod(vector, 2)
            at = (part * _HALF_STEPS + step) * 2 * _VECTOR_BYTES + half_part * _VECTOR_BYTES
            if not half_part:
                self.prefetch(self.add(base, at), 2 * _VECTOR_BYTES)
            packed = self.vector_at(self.add(base, at), _BYTES)
            shifted = builder.lshr(builder.bitcast(packed, _HALVES), four)
            split = builder.and_(packed, low), builder.and_(builder.bitcast(shifted, _BYTES), low)
            for row in range(self.rows):
                for numbers, signed in zip(split, own[row], strict=True):
                    product = self.call("llvm.x86.avx2.pmadd.ub.sw", _HALVES, numbers, signed)
                    self.accumulate(sums[row, vector], product)

    def _add(
        self, group: Any, index: Any, base: Any, vector: int, sums: Places, totals: Places
    ) -> None:
        builder = self.builder
        ones = ir.Constant(_HALVES, [1] * 2 * _LANES)
        at = PANEL * HALF // 2 + vector * _LANES * 2
        scale, minimum = (
            builder.fpext(self.vector_at(self.add(base, place), _FLOAT16S, align=2), _FLOATS)
            for place in (at, at + PANEL * 2)
        )
        for row in range(self.rows):
            own = self.splat(self.per_row(self.scales, row, group))
            total = self.splat(self.per_row(self.sums, row, index, 2))
            value = self.multiply_add(builder.load(sums[row, vector]), ones)
            value = builder.sitofp(value, _FLOATS)
            variable = totals[row, vector]
            value = self.fma(value, builder.fmul(scale, own), builder.load(variable))
            builder.store(self.fma(minimum, total, value), variable)
