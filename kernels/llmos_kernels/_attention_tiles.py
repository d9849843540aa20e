"""What `_attention_amx` computes in tiles and vectors, as LLVM code; see there for the layout."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from llmos_kernels import _tiles as tiles
from llmos_kernels import _vector as vec
from llmos_kernels._dot import choose_dot
from llmos_kernels._jit import LANES
from llmos_kernels._placing import BLOCK
from llmos_kernels.aligned import LINE

QUERIES = tiles.TILE_ROWS
DEPTH = 64  # features whose values fill the tiles of sums; head_dim must be a multiple
TILES = choose_dot() == "amx"
_SIDE = DEPTH // LANES  # tiles of sums, for blocks of keys or parts of values
_PAIRED = 32  # features of a tile of queries or keys
TWO = 2  # bytes of a bfloat16
_PREFETCHED = DEPTH * BLOCK * TWO  # bytes of a block's values; a longer one's rest is behind them
_BYTE, _HALF, _LONG = (ir.IntType(bits) for bits in (8, 16, 64))
_HALVES = ir.VectorType(_HALF, LANES)
_WORDS = ir.VectorType(ir.IntType(32), LANES)
# Tiles: _SIDE of sums; queries; keys; weights of a block's positions; values, pairs of positions.
_QUERY, _KEY, _WEIGHT, _VALUE = 4, 5, 6, 7
_ROWS = [tiles.TILE_ROWS] * 7 + [BLOCK // 2]
_WIDTHS = [LINE] * 6 + [BLOCK * TWO, LINE]


def _code(emit: Any) -> Any:
    """An intrinsic of int64 arguments that emits code, where there are tiles."""

    @intrinsic
    def run(_context: Any, where: Any) -> Any:
        def codegen(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            if TILES:
                emit(builder, *cgutils.unpack_tuple(builder, arguments[0]))
            return _LONG(0)

        return types.int64(where), codegen

    return run


def _emit_narrow(builder: Any, source: Any, scale: Any, target: Any, count: Any) -> None:
    factor, source = vec.splat(builder, scale), vec.float_pointer(builder, source)
    target = builder.inttoptr(target, _HALF.as_pointer())
    with _vectors(builder, count) as (at, _):
        value = builder.fmul(vec.load(builder, source, at), factor)
        place = builder.bitcast(builder.gep(target, [at]), _HALVES.as_pointer())
        builder.store(vec.narrow(builder, value), place, align=TWO)


def _emit_scale(builder: Any, source: Any, scale: Any, target: Any, count: Any) -> None:
    factor, source = vec.splat(builder, scale), vec.float_pointer(builder, source)
    target = vec.float_pointer(builder, target)
    with _vectors(builder, count) as (at, _):
        value = builder.fmul(vec.load(builder, source, at), factor)
        vec.store(builder, value, target, at)


def _emit_copy(builder: Any, source: Any, target: Any, whole: Any, half: Any, count: Any) -> None:
    source, target = (builder.inttoptr(each, _WORDS.as_pointer()) for each in (source, target))
    seen, lower = builder.add(whole, half), ir.Constant(_WORDS, [0xFFFF] * LANES)
    none = ir.Constant(_WORDS, [0] * LANES)
    with _vectors(builder, count) as (at, _):
        index = builder.udiv(at, _LONG(LANES))
        value = builder.load(builder.gep(source, [index]), align=4)
        low = builder.select(builder.icmp_signed("<", at, seen), builder.and_(value, lower), none)
        value = builder.select(builder.icmp_signed("<", at, whole), value, low)
        builder.store(value, builder.gep(target, [index]), align=4)


def _emit_score(
    builder: Any, queries: Any, head_dim: Any, table: Any, blocks: Any, keys: Any, stride: Any,
    scores: Any, width: Any, values: Any,
) -> None:  # fmt: skip
    row = builder.mul(head_dim, _LONG(TWO))

    def some(first: Any, count: int) -> None:
        starts = []
        for index in range(count):
            block = builder.add(first, _LONG(index))
            starts.append(_block(builder, table, block, keys, stride))
            vec.prefetch(builder, _block(builder, table, block, values, stride), _PREFETCHED)
            tiles.clear(builder, index)
        with _steps(builder, _LONG(0), head_dim, _PAIRED) as (feature, _):
            at = builder.add(queries, builder.mul(feature, _LONG(TWO)))
            tiles.load(builder, _QUERY, _pointer(builder, at), row)
            for index, start in enumerate(starts):
                at = builder.add(start, builder.mul(feature, _LONG(BLOCK * TWO)))
                tiles.load(builder, _KEY, _pointer(builder, at), LINE)
                tiles.multiply(builder, "tdpbf16ps", index, _QUERY, _KEY)
        for index in range(count):
            block = builder.add(first, _LONG(index))
            at = builder.add(scores, builder.mul(block, _LONG(BLOCK * 4)))
            tiles.store(builder, index, _pointer(builder, at), width)

    whole = builder.and_(blocks, _LONG(-_SIDE))
    with _steps(builder, _LONG(0), whole, _SIDE) as (block, _):
        some(block, _SIDE)
    with _steps(builder, whole, blocks, 1) as (block, _):
        some(block, 1)


def _emit_mix(
    builder: Any, weights: Any, width: Any, table: Any, blocks: Any, values: Any, stride: Any,
    ending: Any, mixed: Any, head_dim: Any,
) -> None:  # fmt: skip
    line = builder.mul(head_dim, _LONG(4))  # of a pair of positions; of a row of `mixed`, too
    last = builder.sub(blocks, _LONG(1))
    with _steps(builder, _LONG(0), head_dim, DEPTH) as (feature, _):
        column = builder.mul(feature, _LONG(4))
        for part in range(_SIDE):
            tiles.clear(builder, part)
        with _steps(builder, _LONG(0), blocks, 1) as (block, _):
            start = _block(builder, table, block, values, stride)
            start = builder.select(builder.icmp_signed("==", block, last), ending, start)
            start = builder.add(start, column)
            at = builder.add(weights, builder.mul(block, _LONG(BLOCK * TWO)))
            tiles.load(builder, _WEIGHT, _pointer(builder, at), width)
            for part in range(_SIDE):
                at = builder.add(start, _LONG(part * LINE))
                tiles.load(builder, _VALUE, _pointer(builder, at), line)
                tiles.multiply(builder, "tdpbf16ps", part, _WEIGHT, _VALUE)
        for part in range(_SIDE):
            at = builder.add(builder.add(mixed, column), _LONG(part * LINE))
            tiles.store(builder, part, _pointer(builder, at), line)


@intrinsic
def _soften(_context: Any, scores: Any, weights: Any, count: Any, first: Any, last: Any) -> Any:

    def codegen(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return _Softening(builder, *arguments).emit()

    return types.float32(scores, weights, count, first, last), codegen


class _Softening:
    def __init__(
        self, builder: Any, scores: Any, weights: Any, count: Any, first: Any, last: Any
    ) -> None:
        self._builder = builder
        self._source = vec.float_pointer(builder, scores)
        self._target = builder.inttoptr(weights, _HALF.as_pointer())
        before = builder.icmp_signed("<", first, _LONG(0))
        self._first, self._last = builder.select(before, _LONG(0), first), last
        self._count = count
        self._hidden = ir.Constant(vec.VECTOR, [float("-inf")] * LANES)

    def emit(self) -> Any:
        builder = self._builder
        peak = cgutils.alloca_once_value(builder, self._hidden)
        total = cgutils.alloca_once_value(builder, vec.zeros())

        def look(_at: Any, value: Any) -> None:
            builder.store(vec.maximum(builder, value, builder.load(peak)), peak)

        self._visible(look)
        top = vec.splat(builder, vec.max_lanes(builder, builder.load(peak)))

        def weigh(at: Any, value: Any) -> None:
            weight = vec.exponential(builder, builder.fsub(value, top))
            builder.store(builder.fadd(builder.load(total), weight), total)
            self._put(at, vec.narrow(builder, weight))

        start, end = self._visible(weigh)
        none = ir.Constant(_HALVES, [0] * LANES)
        for begin, stop in ((_LONG(0), start), (end, self._count)):
            with _steps(builder, begin, stop, LANES) as (at, _):
                self._put(at, none)
        return vec.add_lanes(builder, builder.load(total))

    def _visible(self, body: Any) -> tuple[Any, Any]:
        """`body(at, scores)` for all vectors with visible positions; returns where they lie.

        Only the first and the last can have hidden ones, too.
        """
        builder = self._builder
        start, end = (builder.and_(at, _LONG(-LANES)) for at in (self._first, self._last))
        body(start, self._masked(start))
        after = builder.add(start, _LONG(LANES))
        with _steps(builder, after, end, LANES) as (at, _):
            body(at, vec.load(builder, self._source, at))
        with builder.if_then(builder.icmp_signed("<", start, end)):
            body(end, self._masked(end))
        return start, builder.add(end, _LONG(LANES))

    def _masked(self, at: Any) -> Any:
        builder = self._builder
        value = vec.load(builder, self._source, at)
        seen = vec.between(builder, at, self._first, self._last)
        return builder.select(seen, value, self._hidden)

    def _put(self, at: Any, halves: Any) -> None:
        builder = self._builder
        place = builder.bitcast(builder.gep(self._target, [at]), _HALVES.as_pointer())
        builder.store(halves, place, align=TWO)


def _block(builder: Any, table: Any, index: Any, array: Any, stride: Any) -> Any:
    """The address of the head's part of a table's block; blocks lie `stride` bytes apart."""
    entries = builder.inttoptr(table, ir.IntType(32).as_pointer())
    number = builder.zext(builder.load(builder.gep(entries, [index])), _LONG)
    return builder.add(array, builder.mul(number, stride))


def _pointer(builder: Any, at: Any) -> Any:
    return builder.inttoptr(at, _BYTE.as_pointer())


def _steps(builder: Any, start: Any, stop: Any, step: int) -> Any:
    return cgutils.for_range_slice(builder, start, stop, _LONG(step), _LONG)


def _vectors(builder: Any, count: Any) -> Any:
    return _steps(builder, _LONG(0), count, LANES)


begin: Any = _code(lambda builder, _: tiles.begin(builder, _ROWS, _WIDTHS))
"""begin((0,)): must come before a thread's first `score_blocks`."""

end: Any = _code(lambda builder, _: tiles.end(builder))
"""end((0,)): must come after a thread's last `mix_blocks`."""

narrow_line: Any = _code(_emit_narrow)
"""narrow_line((source, scale, target, count)): floats times scale as bfloat16."""

scale_line: Any = _code(_emit_scale)
"""scale_line((source, scale, target, count)): floats times scale."""

copy_pairs: Any = _code(_emit_copy)
"""copy_pairs((source, target, whole, half, count)): pairs of bfloat16, and zeros.

`whole` pairs, then the first of each of `half` pairs, then zeros, up to `count` pairs.
"""

score_blocks: Any = _code(_emit_score)
"""score_blocks((queries, head_dim, table, blocks, keys, stride, scores, width, values)).

Products of QUERIES queries (QUERIES, head_dim) with the keys of all `blocks` blocks of the table:
scores (QUERIES, positions), `width` bytes to a row. keys, values: of the head in block 0; blocks
lie `stride` bytes apart. Values will be needed next and are asked for: of sequences that are alone,
they come from memory.
"""

soften_line: Any = _soften
"""soften_line(scores, weights, count, first, last): the numerator of softmax over a line.

e**(score - peak) of positions [first, last] as bfloat16, 0 for others of `count`; returns the sum.
"""

mix_blocks: Any = _code(_emit_mix)
"""mix_blocks((weights, width, table, blocks, values, stride, ending, mixed, head_dim)).

Values of all blocks, weighted, added up: mixed (QUERIES, head_dim) float32. The last block's are
taken from `ending` instead.
"""
