"""Matrix products of int8 activations with int8 or int4 weights.

Weights lie in panels of PANEL output columns, as `linear`'s do, within a panel by group of input
features, so that a product reads memory from front to back. The element type tells the format:

uint8: one number per element, 128 too high; the scale per column is kept apart.
uint32: eight 4-bit numbers per element, by groups of HALF features, each followed by its scales and
    minimums as float16: value = number * scale + minimum.

Products of bytes are added up exactly in int32 within a group, groups in order in float32: a row
has the same bits in any batch and with any instruction of `_dot`. Twin: reference.quantized_linear.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from llmos_kernels import _vector as vec
from llmos_kernels._dot import BYTES, DOTS, WORDS, choose_dot
from llmos_kernels._jit import LANES, address, inlined, parallel_kernel
from llmos_kernels.quantize import GROUP, HALF, Quantized

PANEL = 2 * LANES
MAX_ROWS = 6  # with their int32 and float32 totals, all that 32 registers hold
_PARTS = PANEL // LANES
_DEEP = 4  # features per dot
_INT4_WORDS = (HALF // 2 + 4) * PANEL // 4  # of a group: numbers, scale and minimum


def pack_int8(numbers: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Panels of (out_features, in_features) numbers: (panels, bytes of a panel)."""
    padded = _pad(numbers, GROUP)
    panels, groups = padded.shape[0] // PANEL, padded.shape[1] // GROUP
    biased = (padded.astype(np.int16) + 128).astype(np.uint8)
    split = biased.reshape(panels, _PARTS, LANES, groups, GROUP // _DEEP, _DEEP)
    return np.ascontiguousarray(split.transpose(0, 3, 4, 1, 2, 5)).reshape(panels, -1)


def pack_int4(
    numbers: NDArray[np.uint8], scales: NDArray[np.float16], minimums: NDArray[np.float16]
) -> NDArray[np.uint32]:
    """Panels of (out_features, in_features) numbers below 16, with (out, in / HALF) scales."""
    padded, scales, minimums = _pad(numbers, GROUP), _pad(scales, 2), _pad(minimums, 2)
    panels, groups = padded.shape[0] // PANEL, padded.shape[1] // HALF
    split = padded.reshape(panels, _PARTS, LANES, groups, 2, HALF // 2 // _DEEP, _DEEP)
    # (panel, group, part, step, column, feature); the upper half byte is a later step's.
    split = split.transpose(4, 0, 3, 1, 5, 2, 6)
    packed = np.empty((panels, groups, _INT4_WORDS * 4), np.uint8)
    size = PANEL * HALF // 2
    packed[:, :, :size] = (split[0] | split[1] << 4).reshape(panels, groups, -1)
    for index, values in enumerate((scales, minimums)):
        rows = np.ascontiguousarray(values.reshape(panels, PANEL, groups).transpose(0, 2, 1))
        at = size + index * PANEL * 2
        packed[:, :, at : at + PANEL * 2] = rows.view(np.uint8).reshape(panels, groups, -1)
    return packed.reshape(panels, -1).view(np.uint32)


def _pad(matrix: NDArray[Any], multiple: int) -> NDArray[Any]:
    """Zeros up to whole panels of rows and a multiple of columns."""
    rows, columns = -matrix.shape[0] % PANEL, -matrix.shape[1] % multiple
    return np.pad(matrix, ((0, rows), (0, columns)))


@parallel_kernel
def quantized_linear(x: Quantized, packed: Any, scales: Any, out: Any) -> None:
    """Write x @ weight.T.

    Args:
        x: quantized rows.
        packed: what `pack_int8` or `pack_int4` returned.
        scales: (panels * PANEL,) float32 of the columns; ones with int4.
        out: (rows, out_features) float32, contiguous.
    """
    for panel in prange(packed.shape[0]):
        tile = np.empty((MAX_ROWS, PANEL), np.float32)
        used = min(PANEL, out.shape[1] - panel * PANEL)
        done = 0
        while done < out.shape[0]:
            count = multiply_tile(x, done, out.shape[0] - done, packed, scales, panel, tile)
            for row in range(count):
                for lane in range(used):
                    out[done + row, panel * PANEL + lane] = tile[row, lane]
            done += count


@inlined
def multiply_tile(
    x: Any, first: Any, rows: Any, packed: Any, scales: Any, panel: Any, tile: Any
) -> Any:
    """Products of as many rows from `first` as fit with one panel; returns how many.

    tile (MAX_ROWS, PANEL) float32 receives them; at most `rows` rows are taken.
    """
    groups = x.scales.shape[1]
    stride = groups * GROUP
    at = first * groups
    where = (
        address(x.numbers, first * stride), address(x.scales, at), address(x.offsets, at),
        address(x.sums, 2 * at), address(packed, panel * packed.shape[1]),
        address(scales, panel * PANEL), address(tile, 0), groups,
    )  # fmt: skip
    if rows >= MAX_ROWS:
        _rows_max(packed, where)
        return MAX_ROWS
    if rows >= 4:
        _rows_4(packed, where)
        return 4
    if rows >= 2:
        _rows_2(packed, where)
        return 2
    _rows_1(packed, where)
    return 1


def _row_block(num_rows: int, dot: str) -> Any:
    """An intrinsic for `num_rows` rows; arguments as multiply_tile lists them."""

    @intrinsic
    def multiply(_context: Any, packed: Any, where: Any) -> Any:
        wide = packed.dtype == types.uint8

        def codegen(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            emit = _Int8Block if wide else _Int4Block
            emit(builder, num_rows, dot, cgutils.unpack_tuple(builder, arguments[1])).emit()
            return ir.Constant(ir.IntType(64), 0)

        return types.int64(packed, where), codegen

    return multiply


class _Block:
    """Emits the product of some rows with one panel; subclasses know the weights' format."""

    def __init__(self, builder: Any, rows: int, dot: str, where: list[Any]) -> None:
        self.builder, self.rows, self._dot = builder, rows, DOTS[dot]
        numbers, scales, offsets, sums, panel, columns, tile, self.groups = where
        byte, word = ir.IntType(8), ir.IntType(32)
        self.numbers = builder.inttoptr(numbers, byte.as_pointer())
        self.scales = vec.float_pointer(builder, scales)
        self.offsets = builder.inttoptr(offsets, word.as_pointer())
        self.sums = vec.float_pointer(builder, sums)
        self.panel = builder.inttoptr(panel, byte.as_pointer())
        self.columns = vec.float_pointer(builder, columns)
        self.tile = vec.float_pointer(builder, tile)
        self.places = [(row, part) for row in range(rows) for part in range(_PARTS)]

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
            vec.store(builder, value, self.tile, vec.INDEX(row * PANEL + part * LANES))

    def group(self, group: Any, totals: dict[Any, Any]) -> dict[Any, Any]:
        """The new totals after one group of GROUP features."""
        raise NotImplementedError

    def bytes_at(self, offset: Any) -> Any:
        """A vector of weights, `offset` bytes into the panel."""
        pointer = self.builder.bitcast(self.builder.gep(self.panel, [offset]), BYTES.as_pointer())
        vector = self.builder.load(pointer)
        vector.align = 1
        return vector

    def activations(self, row: int, group: Any, step: int) -> Any:
        """Four numbers of a row, in every lane."""
        builder = self.builder
        features = self.mul(self.groups, GROUP)
        at = builder.add(builder.mul(features, features.type(row)), self.mul(group, GROUP))
        at = builder.add(at, at.type(step * _DEEP))
        pointer = builder.bitcast(builder.gep(self.numbers, [at]), ir.IntType(32).as_pointer())
        return builder.bitcast(self.splat_word(builder.load(pointer)), BYTES)

    def splat_word(self, word: Any) -> Any:
        single = self.builder.insert_element(ir.Constant(WORDS, ir.Undefined), word, vec.INDEX(0))
        return self.builder.shuffle_vector(single, single, ir.Constant(WORDS, [0] * LANES))

    def per_row(self, array: Any, row: int, index: Any, per_group: int = 1) -> Any:
        """array[row, index], of an array with per_group columns per group."""
        columns = self.mul(self.groups, per_group)
        at = self.builder.add(self.builder.mul(columns, columns.type(row)), index)
        return self.builder.load(self.builder.gep(array, [at]))

    def mul(self, value: Any, factor: int) -> Any:
        return self.builder.mul(value, value.type(factor))

    def dots(self, sums: dict[Any, Any], weights: list[Any], group: Any, step: int) -> None:
        """Add one step of four features to every sum."""
        for row in range(self.rows):
            numbers = self.activations(row, group, step)
            for part, vector in enumerate(weights):
                sums[row, part] = self._dot(self.builder, sums[row, part], vector, numbers)


class _Int8Block(_Block):
    def group(self, group: Any, totals: dict[Any, Any]) -> dict[Any, Any]:
        builder = self.builder
        sums: dict[Any, Any] = {}
        for row in range(self.rows):
            offset = self.splat_word(self.per_row(self.offsets, row, group))
            sums |= {(row, part): offset for part in range(_PARTS)}
        base = self.mul(group, GROUP * PANEL)
        for step in range(GROUP // _DEEP):
            starts = [(step * _PARTS + part) * 4 * LANES for part in range(_PARTS)]
            weights = [self.bytes_at(builder.add(base, base.type(at))) for at in starts]
            self.dots(sums, weights, group, step)
        fma = vec.fma_function(builder)
        result = {}
        for row, part in self.places:
            scale = vec.splat(builder, self.per_row(self.scales, row, group))
            value = builder.sitofp(sums[row, part], vec.VECTOR)
            result[row, part] = builder.call(fma, [value, scale, builder.load(totals[row, part])])
        return result


class _Int4Block(_Block):
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
        base = self.mul(index, _INT4_WORDS * 4)
        low = ir.Constant(BYTES, [15] * 4 * LANES)
        four = ir.Constant(BYTES, [4] * 4 * LANES)
        steps = HALF // _DEEP // 2
        for step in range(steps):
            starts = [(part * steps + step) * 4 * LANES for part in range(_PARTS)]
            pairs = [self.bytes_at(builder.add(base, base.type(at))) for at in starts]
            first = half * 2 * steps + step
            self.dots(sums, [builder.and_(pair, low) for pair in pairs], group, first)
            self.dots(sums, [builder.lshr(pair, four) for pair in pairs], group, first + steps)
        size = PANEL * HALF // 2
        fma = vec.fma_function(builder)
        result = {}
        for part in range(_PARTS):
            at = size + part * LANES * 2
            scale = self._halves(builder.add(base, base.type(at)))
            minimum = self._halves(builder.add(base, base.type(at + PANEL * 2)))
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
        pointer = self.builder.bitcast(self.builder.gep(self.panel, [offset]), kind.as_pointer())
        vector = self.builder.load(pointer)
        vector.align = 2
        return self.builder.fpext(vector, vec.VECTOR)


_DOT = choose_dot()
_rows_1, _rows_2, _rows_4, _rows_max = (_row_block(n, _DOT) for n in (1, 2, 4, MAX_ROWS))
