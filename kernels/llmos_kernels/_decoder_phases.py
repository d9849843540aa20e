"""The phases of `decoder`: each is entered by all threads, which claim shares of its work.

Those that quantize return the row of the quantized rows where this thread finds row 0: rows few
enough are quantized by every thread of a team for itself, into rows of its own.
"""

from typing import Any, NamedTuple

import numpy as np

from llmos_kernels._finishing import add_tile, gate_tile, store_tile
from llmos_kernels._jit import LANES, address, inlined, kernel
from llmos_kernels._products import PANEL
from llmos_kernels._team import barrier, begin_phase, claim
from llmos_kernels.attention import attend_tile, begin_attention, end_attention, place_head
from llmos_kernels.low_rank import lower, raise_rows
from llmos_kernels.norm import normalize
from llmos_kernels.quantize import GROUP
from llmos_kernels.quantized_linear import (
    MAX_ROWS,
    PIECE_ROWS,
    begin_products,
    end_products,
    multiply_rows,
    quantize_row,
)

OWN_ROWS = 4
OWN_SPACE = 16  # rows that lie between one thread's own rows and the next one's: a row tile
STORE, ADD, GATE = 0, 1, 2  # what `project` does with a product


class Site(NamedTuple):
    """Which product of a step is computed, and the adapters that may change it: low_rank.Adapters.

    first: the step's row that is row 0 of what a phase is given.
    """

    adapters: Any
    layer: Any
    which: Any
    first: Any


@kernel
def quantize(team: Any, source: Any, norm: Any, eps: Any, out: Any, site: Any) -> Any:
    """Quantize rows (rows, features), into rows of `out` from `site.first` on.

    norm: (features,), the weight of an RMSNorm that comes before; or (0,) where there is none.
    """
    rows, features = source.shape
    room = np.zeros(-(-features // GROUP) * GROUP, np.float32)
    own = rows <= OWN_ROWS and team.threads > 1
    base = np.int64(team.thread * OWN_SPACE) if own else site.first
    adapters = site.adapters
    phase = np.int64(0) if own else begin_phase(team)
    while True:
        start, end = (np.int64(0), np.int64(rows)) if own else claim(team, phase, rows)
        for row in range(start, end):
            line = source[row]
            if norm.shape[0] > 0:
                normalize(line, norm, eps, room)
                line = room
            elif features != room.shape[0]:
                for at in range(features):
                    room[at] = line[at]
                line = room
            quantize_row(line, base + row, out)
            if adapters.chosen.shape[0] > 0:
                lower(
                    line[:features], adapters, site.first + row, np.int64(base + row), site.layer,
                    site.which,
                )  # fmt: skip
        if own or start >= end:
            break
    if not own:
        barrier(team)
    return base


@kernel
def normalize_rows(team: Any, rows: Any, weight: Any, eps: Any) -> None:
    """RMSNorm in place."""
    phase = begin_phase(team)
    while True:
        start, end = claim(team, phase, rows.shape[0])
        if start >= end:
            break
        for row in range(start, end):
            normalize(rows[row], weight, eps, rows[row])


@kernel
def project(
    team: Any, x: Any, base: Any, packed: Any, scales: Any, bias: Any, finish: Any, out: Any,
    site: Any,
) -> None:  # fmt: skip
    """X @ weight.T + bias, and what adapters add, put into `out` as `finish` says."""
    tile = np.empty((MAX_ROWS, PANEL), np.float32)
    rows, panels, phase = np.int64(out.shape[0]), np.int64(packed.shape[0]), begin_phase(team)
    chunks = -(-rows // PIECE_ROWS)
    begin_products(x)
    while True:
        start, end = claim(team, phase, panels * chunks)
        if start >= end:
            break
        for piece in range(start, end):
            panel, first = np.int64(piece // chunks), np.int64(piece % chunks * PIECE_ROWS)
            part = out[first : min(first + PIECE_ROWS, rows)]
            _panel(x, base, first, packed, scales, bias, panel, tile, finish, part, site)
    end_products(x)


@inlined
def _panel(
    x: Any, base: Any, first: Any, packed: Any, scales: Any, bias: Any, panel: Any, tile: Any,
    finish: Any, out: Any, site: Any,
) -> None:  # fmt: skip
    """A panel's product with as many rows as `out` has, from `first` on, into its columns."""
    rows, width, place = np.int64(out.shape[0]), np.int64(out.shape[1]), address(tile, 0)
    columns = np.int64(LANES if finish == GATE else PANEL)
    column = panel * columns
    whole = column + columns <= width
    direct = whole and finish == STORE and bias.shape[0] == 0
    row = np.int64(0)
    while row < rows:
        target = address(out, row * width + column)
        to, stride = (target, width) if direct else (place, np.int64(PANEL))
        at = base + first + row
        count = multiply_rows(x, at, rows - row, packed, scales, panel, to, stride)
        if site.adapters.chosen.shape[0] > 0:
            raise_rows(
                site.adapters, site.first + first + row, at, count, site.layer, site.which, panel,
                to, stride,
            )  # fmt: skip
        if bias.shape[0] > 0:
            for line in range(count):
                for lane in range(PANEL):
                    tile[line, lane] += bias[panel * PANEL + lane]
        if whole and not direct:
            _finish(finish, place, count, target, width)
        elif not whole:
            _finish_edge(finish, place, column, out[row : row + count])
        row += count


@inlined
def _finish(finish: Any, tile: Any, rows: Any, out: Any, width: Any) -> None:
    if finish == GATE:
        gate_tile(tile, rows, out, width)
    elif finish == ADD:
        add_tile(tile, rows, out, width)
    else:
        store_tile(tile, rows, out, width)


@kernel
def _finish_edge(finish: Any, tile: Any, column: Any, out: Any) -> None:
    """Of a panel that is wider than what is left of `out`."""
    edge = np.empty((MAX_ROWS, PANEL), np.float32)
    for row in range(out.shape[0]):
        for at in range(out.shape[1] - column):
            edge[row, at] = out[row, column + at]
    _finish(finish, tile, np.int64(out.shape[0]), address(edge, 0), np.int64(PANEL))
    for row in range(out.shape[0]):
        for at in range(out.shape[1] - column):
            out[row, column + at] = edge[row, at]


@inlined
def alone(rows: Any) -> Any:
    """Whether no row sees another row of this step."""
    return rows.tables.shape[0] == rows.positions.shape[0]


@kernel
def place(team: Any, network: Any, layer: Any, rows: Any, qkv: Any, first: Any, last: Any) -> None:
    """Norm of heads, rotation, and store, of rows [first, last)."""
    keys, values = rows.keys[layer], rows.values[layer]
    phase = begin_phase(team)
    while True:
        start, end = claim(team, phase, last - first)
        if start >= end:
            break
        for row in range(first + start, first + end):
            for source in range(keys.shape[1]):
                _place(network, layer, rows, qkv, row, source, keys, values)


@kernel
def attend(team: Any, network: Any, layer: Any, rows: Any, buffers: Any) -> None:
    """Attention; of rows that are alone, what `place` does, too."""
    keys, values = rows.keys[layer], rows.values[layer]
    qkv, kv_heads = buffers.qkv, keys.shape[1]
    room = begin_attention(keys, rows.tables, buffers.mixed.shape[1])
    phase = begin_phase(team)
    while True:
        start, end = claim(team, phase, rows.tiles.shape[0] * kv_heads)
        if start >= end:
            break
        for piece in range(start, end):
            tile, source = rows.tiles[piece // kv_heads], piece % kv_heads
            if alone(rows):
                _place(network, layer, rows, qkv, np.int64(tile[0]), source, keys, values)
            attend_tile(
                qkv, keys, values, rows.tables, tile, source, rows.positions, network.window, room,
                buffers.mixed,
            )  # fmt: skip
    end_attention(keys)


@kernel
def _place(
    network: Any, layer: Any, rows: Any, qkv: Any, row: Any, source: Any, keys: Any, values: Any
) -> None:
    """Normalize, rotate and store one key head of a row, and the queries that read it."""
    if network.head_norms.shape[1] > 0:
        kv_heads = keys.shape[1]
        heads = qkv.shape[1] - 2 * kv_heads
        group = heads // kv_heads
        for index in range(group + 1):
            which = 1 if index == group else 0
            head = heads + source if index == group else source * group + index
            line = qkv[row, head]
            normalize(line, network.head_norms[layer, which], network.eps, line)
    place_head(
        qkv, row, source, network.cosine, network.sine, rows.positions[row], rows.slots[row],
        keys, values,
    )  # fmt: skip
