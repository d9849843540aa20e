"""The phases of `decoder`: each is entered by all threads, which claim shares of its work.

Those that quantize return the row of the quantized rows where this thread finds row 0: rows few
enough are quantized by every thread for itself, into rows of its own.
"""

from typing import Any

import numpy as np

from llmos_kernels._jit import LANES, address, exp32, inlined, kernel
from llmos_kernels._products import PANEL
from llmos_kernels._team import barrier, begin_phase, claim
from llmos_kernels.attention import attend_tile, place_head
from llmos_kernels.norm import normalize
from llmos_kernels.quantize import GROUP, quantize_group, quantize_row
from llmos_kernels.quantized_linear import MAX_ROWS, PIECE_ROWS, multiply_tile

OWN_ROWS = 4
# What `project` does with a product. GATE_QUANTIZE saves writing numbers which the next product
# would read from the other threads' caches.
STORE, ADD, GATE, GATE_QUANTIZE = 0, 1, 2, 3


@kernel
def quantize(team: Any, source: Any, out: Any) -> Any:
    """Quantize rows (rows, features)."""
    rows = source.shape[0]
    scratch = np.zeros(out.numbers.shape[1], np.float32)
    if rows <= OWN_ROWS:
        base = np.int64(team.thread * OWN_ROWS)
        for row in range(rows):
            scratch[: source.shape[1]] = source[row]
            quantize_row(scratch, base + row, out)
        return base
    phase = begin_phase(team)
    while True:
        start, end = claim(team, phase, rows)
        if start >= end:
            break
        for row in range(start, end):
            scratch[: source.shape[1]] = source[row]
            quantize_row(scratch, row, out)
    barrier(team)
    return np.int64(0)


@kernel
def normalize_and_quantize(team: Any, source: Any, weight: Any, eps: Any, out: Any) -> Any:
    """Quantize RMSNorm(rows)."""
    rows, features = source.shape
    scratch = np.zeros(out.numbers.shape[1], np.float32)
    if rows <= OWN_ROWS:
        base = np.int64(team.thread * OWN_ROWS)
        for row in range(rows):
            normalize(source[row], weight, eps, scratch[:features])
            quantize_row(scratch, base + row, out)
        return base
    phase = begin_phase(team)
    while True:
        start, end = claim(team, phase, rows)
        if start >= end:
            break
        for row in range(start, end):
            normalize(source[row], weight, eps, scratch[:features])
            quantize_row(scratch, row, out)
    barrier(team)
    return np.int64(0)


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
    quantized: Any,
) -> None:  # fmt: skip
    """X @ weight.T + bias, put into `out` as `finish` says; GATE_QUANTIZE into `quantized`."""
    tile = np.empty((MAX_ROWS, PANEL), np.float32)
    gated = np.empty((PIECE_ROWS, GROUP), np.float32)
    rows, panels, phase = out.shape[0], np.int64(packed.shape[0]), begin_phase(team)
    chunks = -(-rows // PIECE_ROWS)
    together = np.int64(GROUP // LANES if finish == GATE_QUANTIZE else 1)
    while True:
        start, end = claim(team, phase, chunks * -(-panels // together))
        if start >= end:
            break
        for piece in range(start, end):
            group, first = np.int64(piece // chunks), np.int64(piece % chunks * PIECE_ROWS)
            stop = min(first + PIECE_ROWS, np.int64(rows))
            past = min((group + 1) * together, panels)
            if past < (group + 1) * together:  # the last group is not whole
                gated[:] = np.float32(0.0)
            part = gated[: stop - first] if finish == GATE_QUANTIZE else out[first:stop]
            for panel in range(group * together, past):
                place = panel - group * together if finish == GATE_QUANTIZE else panel
                _panel(x, base + first, packed, scales, bias, panel, tile, finish, place, part)
            if finish == GATE_QUANTIZE:
                for row in range(first, stop):
                    quantize_group(address(gated, (row - first) * GROUP), row, group, quantized)


@inlined
def _panel(
    x: Any, first: Any, packed: Any, scales: Any, bias: Any, panel: Any, tile: Any, finish: Any,
    place: Any, out: Any,
) -> None:  # fmt: skip
    """A panel's product with as many rows as `out` has, into its columns of panel `place`."""
    row, rows = np.int64(0), np.int64(out.shape[0])
    while row < rows:
        count = multiply_tile(x, first + row, rows - row, packed, scales, panel, tile)
        if bias.shape[0] > 0:
            for at in range(count):
                for lane in range(PANEL):
                    tile[at, lane] += bias[panel * PANEL + lane]
        if finish >= GATE:
            _gate(tile, place, out[row : row + count])
        else:
            _put(tile, place, out[row : row + count], finish == ADD)
        row += count


@inlined
def _put(tile: Any, panel: Any, out: Any, add: Any) -> None:
    """Write or add a panel's columns."""
    used = min(PANEL, out.shape[1] - panel * PANEL)
    for at in range(out.shape[0]):
        for lane in range(used):
            before = out[at, panel * PANEL + lane] if add else np.float32(0.0)
            out[at, panel * PANEL + lane] = before + tile[at, lane]


@inlined
def _gate(tile: Any, panel: Any, out: Any) -> None:
    """silu(gate) * up (Shazeer, 2020): a panel holds LANES columns of gate and the same of up."""
    used, one = min(LANES, out.shape[1] - panel * LANES), np.float32(1.0)
    for at in range(out.shape[0]):
        for lane in range(used):
            gate = tile[at, lane]
            out[at, panel * LANES + lane] = gate / (one + exp32(-gate)) * tile[at, LANES + lane]


@kernel
def attend(team: Any, network: Any, layer: Any, rows: Any, buffers: Any, attended: Any) -> Any:
    """Norm of heads, rotation, store, attention; whether the result is in `attended` already."""
    keys, values = rows.keys[layer], rows.values[layer]
    qkv, kv_heads = buffers.qkv, keys.shape[1]
    count = rows.positions.shape[0]
    quantized = count > OWN_ROWS and keys.shape[2] % GROUP == 0
    alone = rows.tables.shape[0] == count  # no row sees another row of this step
    if not alone:
        phase = begin_phase(team)
        while True:
            start, end = claim(team, phase, count * kv_heads)
            if start >= end:
                break
            for piece in range(start, end):
                row, source = piece // kv_heads, piece % kv_heads
                _place(network, layer, rows, qkv, row, source, keys, values)
        barrier(team)
    phase = begin_phase(team)
    while True:
        start, end = claim(team, phase, rows.tiles.shape[0] * kv_heads)
        if start >= end:
            break
        for piece in range(start, end):
            tile, source = rows.tiles[piece // kv_heads], piece % kv_heads
            if alone:
                _place(network, layer, rows, qkv, np.int64(tile[0]), source, keys, values)
            attend_tile(
                qkv, keys, values, rows.tables, tile, source, rows.positions, network.window,
                buffers.mixed,
            )  # fmt: skip
            if quantized:
                _quantize_heads(buffers.mixed, tile, source, kv_heads, attended)
    return quantized


@inlined
def _quantize_heads(mixed: Any, tile: Any, source: Any, kv_heads: Any, out: Any) -> None:
    """Those of a tile's rows that read key head `source`, while they are in this thread's cache."""
    size = np.int64(mixed.shape[1] // kv_heads * mixed.shape[2])
    for row in range(tile[0], tile[0] + tile[1]):
        for group in range(source * size // GROUP, (source + 1) * size // GROUP):
            at = address(mixed, np.int64(row) * mixed.shape[1] * mixed.shape[2] + group * GROUP)
            quantize_group(at, row, group, out)


@inlined
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
