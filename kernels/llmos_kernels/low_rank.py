"""Low-rank changes of products: x @ (W + B A).T, with a B and an A of their own for every row.

Low-rank adaptation (Hu et al., 2021), with rows of many adapters in one step (Chen et al., 2023,
"Punica"). A row's `lowered` numbers, A x, are sums over LANES partial sums; what B makes of them is
one chain of fused multiply-adds that begins with the product itself. Both are computed for each row
alone, so its bits depend on no other row. Twin: reference.low_rank.
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from llmos_kernels import _vector as vec
from llmos_kernels._chains import add_products_1
from llmos_kernels._jit import LANES, address, inlined, parallel_kernel
from llmos_kernels._products import PANEL, PARTS

Array = NDArray[Any]
RANK_STEP = 4  # ranks whose sums run side by side
STRIP_FIELDS = 3
_LONG = ir.IntType(64)


class Adapters(NamedTuple):
    """The adapters that are there, and which of them each row of a step goes through.

    chosen: (rows,) int32, of `places`; or (0,) where no row goes through one. places: (adapters,
    layers, projections, 4) int64: where the parts of a Change lie, and its rank, 0 where a product
    is not changed. kind: (0,) of the type of `down` and `up`. lowered: (rows and more, highest
    rank) float32, overwritten.
    """

    chosen: Array
    places: Array
    kind: Array
    lowered: Array


class Change(NamedTuple):
    """What an adapter adds to one product, packed.

    down: A (rank, in_features), of zeros up to a rank that is a multiple of RANK_STEP. up: B in
    strips of LANES columns, of each only the ranks, RANK_STEP at a time, that have a number in it:
    products that share their input have ranks of their own. strips: (strips, STRIP_FIELDS) int64:
    where a strip begins in `up`, in elements, its first rank, and how many.
    """

    down: Array
    up: Array
    strips: Array

    @property
    def place(self) -> tuple[int, ...]:
        """As Adapters.places has it."""
        return *(part.ctypes.data for part in self), len(self.down)


def pack_change(down: Array, up: Array, *, narrow: bool) -> Change:
    """Pack A (rank, in_features) and B (out_features, rank), float32.

    Columns are those of the product, in the order in which the kernel that computes it has them.
    `narrow` rounds both to bfloat16.
    """
    out_features, rank = up.shape
    ranks = -(-rank // RANK_STEP) * RANK_STEP
    columns = np.zeros((-(-out_features // PANEL) * PANEL, ranks), np.float32)
    columns[:out_features, :rank] = up
    padded = np.zeros((ranks, down.shape[1]), np.float32)
    padded[:rank] = down
    strips, parts, start = [], [], 0
    for strip in columns.reshape(-1, LANES, ranks):
        used = np.flatnonzero(strip.any(0)) // RANK_STEP * RANK_STEP
        first, end = (used[0], used[-1] + RANK_STEP) if len(used) else (0, 0)
        strips.append((start, first, end - first))
        parts.append(strip[:, first:end].T.ravel())
        start += parts[-1].size
    kind = _bfloat16 if narrow else np.asarray
    return Change(kind(padded), kind(np.concatenate(parts)), np.array(strips, np.int64))


def _bfloat16(values: Array) -> Array:
    """Bits of the nearest bfloat16 numbers, ties to even."""
    bits = values.view(np.uint32)
    return ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16)


@parallel_kernel
def add_low_rank(x: Any, adapters: Any, layer: Any, which: Any, out: Any) -> None:
    """Add B A x to every row of `out` (rows, out_features) float32, by the row's adapter.

    Args:
        x: (rows, in_features) float32, contiguous.
        adapters: Adapters.
        layer, which: the projection, as `places` has it.
        out: the product with the base's weight, contiguous.
    """
    one = np.int64(1)
    for row in prange(out.shape[0]):
        if adapters.places[adapters.chosen[row], layer, which, 3] > 0:
            edge = np.empty(PANEL, np.float32)
            lower(x[row], adapters, np.int64(row), np.int64(row), layer, which)
            width = out.shape[1]
            for panel in range(-(-width // PANEL)):
                first = panel * PANEL
                if first + PANEL <= width:
                    to = address(out, row * width + first)
                    raise_rows(adapters, row, row, one, layer, which, panel, to, width)
                    continue
                edge[: width - first] = out[row, first:]
                to = address(edge, 0)
                raise_rows(adapters, row, row, one, layer, which, panel, to, width)
                out[row, first:] = edge[: width - first]


@inlined
def lower(line: Any, adapters: Any, row: Any, at: Any, layer: Any, which: Any) -> None:
    """A x of a step's row `row`, which is `line` (in_features,) float32, into `lowered[at]`."""
    change = adapters.chosen[row]
    rank, down = adapters.places[change, layer, which, 3], adapters.places[change, layer, which, 0]
    features, width = np.int64(line.shape[0]), np.int64(adapters.lowered.shape[1])
    to = address(adapters.lowered, at * width)
    for first in range(0, rank, RANK_STEP):
        _lower_step(address(line, 0), down, np.int64(first), features, to, adapters.kind)


@inlined
def raise_rows(
    adapters: Any, row: Any, at: Any, count: Any, layer: Any, which: Any, panel: Any, out: Any,
    stride: Any,
) -> None:  # fmt: skip
    """Add a panel's columns of B (A x) of a step's rows [row, row + count).

    Their A x are those from `lowered[at]` on; their columns are at the address `out`, whose rows
    lie `stride` floats apart.
    """
    done, width = np.int64(0), np.int64(adapters.lowered.shape[1])
    while done < count:
        change, end = adapters.chosen[row + done], done + 1
        while end < count and adapters.chosen[row + end] == change:
            end += 1
        if adapters.places[change, layer, which, 3] > 0:
            up = adapters.places[change, layer, which, 1]
            strip = adapters.places[change, layer, which, 2] + 8 * STRIP_FIELDS * PARTS * panel
            for part in range(PARTS):
                first, depth = _long_at(strip + 8), _long_at(strip + 16)
                line = up + adapters.kind.itemsize * _long_at(strip)
                add_products_1(
                    address(adapters.lowered, (at + done) * width + first), width, depth, (line,),
                    LANES, adapters.kind, out + 4 * (done * stride + part * LANES), stride,
                    end - done,
                )  # fmt: skip
                strip += 8 * STRIP_FIELDS
        done = end


@intrinsic
def _read_long(_context: Any, where: Any) -> Any:

    def codegen(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.load(builder.inttoptr(arguments[0], _LONG.as_pointer()))

    return types.int64(where), codegen


@intrinsic
def _lower(
    _context: Any, line: Any, down: Any, first: Any, features: Any, out: Any, kind: Any
) -> Any:
    wide = isinstance(kind.dtype, types.Float)

    def codegen(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        line, down, first, features, out, _ = arguments
        line, out = (vec.float_pointer(builder, each) for each in (line, out))
        size = vec.FLOAT if wide else ir.IntType(16)
        down = builder.inttoptr(down, size.as_pointer())
        ranks = [builder.add(first, _LONG(at)) for at in range(RANK_STEP)]
        rows = [builder.gep(down, [builder.mul(rank, features)]) for rank in ranks]
        sums = [cgutils.alloca_once(builder, vec.VECTOR) for _ in rows]
        for total in sums:
            builder.store(vec.zeros(), total)

        def add(at: Any, load: Any, _store: Any) -> None:
            x = load(builder, line, at)
            for row, total in zip(rows, sums, strict=True):
                if x.type == vec.VECTOR:
                    weight = (
                        load(builder, row, at)
                        if wide
                        else vec.load_bfloat16(builder, builder.ptrtoint(row, _LONG), at)
                    )
                    terms = [x, weight, builder.load(total)]
                    builder.store(builder.call(vec.fma_function(builder), terms), total)
                else:
                    weight = vec.widen(builder, builder.load(builder.gep(row, [at])))
                    lane = builder.bitcast(total, vec.FLOAT.as_pointer())
                    builder.store(builder.fma(x, weight, builder.load(lane)), lane)

        vec.along(builder, features, add)
        for rank, total in zip(ranks, sums, strict=True):
            value = vec.add_lanes(builder, builder.load(total))
            builder.store(value, builder.gep(out, [rank]))
        return _LONG(0)

    return types.int64(line, down, first, features, out, kind), codegen


_lower_step: Any = _lower
_long_at: Any = _read_long
