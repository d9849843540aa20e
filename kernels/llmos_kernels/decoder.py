"""A whole step of a quantized Llama-family decoder in one parallel region.

The threads walk through the layers together (see _team): a step of one token costs some hundred and
fifty short barriers instead of twice as many parallel regions. Few rows are a share of columns to
each thread, so that weights are read once; many rows are a share of rows, which stay with a thread
from one layer's attention to the next one's, in its own caches. Rows are quantized where they are
needed; while they are few, every thread does it for itself, which is quicker than waiting for the
others. A row's bits depend on none of this: every output is computed by one thread, in one order.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from llmos_kernels import _decoder_phases as phases
from llmos_kernels._jit import borrowed, inlined, kernel, parallel_kernel
from llmos_kernels._team import (
    alone,
    barrier,
    begin_phase,
    claim,
    join,
    leave,
    places,
    team_state,
)

Array = NDArray[Any]
_PHASES_PER_LAYER = 11
_SHARE = 32  # rows, when each thread takes rows
_SHARED_ROWS = 128  # per thread; from here on it does
QKV, OUTPUT, GATE_UP, DOWN = range(4)  # the projections, as low_rank.Adapters has them


class Matrices(NamedTuple):
    """One projection in every layer.

    packed: (layers, panels, elements) as quantized_linear packs it. scales: (layers, panels *
    PANEL) float32. bias: like scales, or (layers, 0).
    """

    packed: Array
    scales: Array
    bias: Array


class Projections(NamedTuple):
    """The matrices; panels of gate_up hold LANES columns of gate and the same LANES of up."""

    qkv: Matrices
    output: Matrices
    gate_up: Matrices
    down: Matrices


class Network(NamedTuple):
    """What is not a matrix, for all layers.

    norms: (2 * layers + 1, hidden) float32: before attention, before the feed-forward, ..., last.
    head_norms: (layers, 2, head_dim) float32 of queries and keys, or (layers, 0, 0).
    cosine, sine: (context, head_dim // 2) float32. window: positions a row sees, 0 for all.
    """

    norms: Array
    head_norms: Array
    cosine: Array
    sine: Array
    eps: np.float32
    window: int


class Rows(NamedTuple):
    """A step's tokens, see ForwardBatch, and the cache: (layers, ...) of keys and of values."""

    positions: Array
    slots: Array
    tables: Array
    tiles: Array
    keys: Array
    values: Array


class Buffers(NamedTuple):
    """What lies between the phases.

    hidden (rows, hidden), qkv (rows, heads + 2 * kv_heads, head_dim), mixed (rows, heads,
    head_dim), inner (rows, intermediate): float32.
    """

    hidden: Array
    qkv: Array
    mixed: Array
    inner: Array


class Activations(NamedTuple):
    """Room for max(rows, `own_rows`) rows of hidden, heads * head_dim and intermediate features.

    As `activation_rows` makes it for what multiplies them: qkv and gate_up; output; down.
    """

    normed: Any
    attended: Any
    gated: Any


def own_rows(threads: int) -> int:
    """Rows of room that threads need for what each quantizes for itself."""
    return threads * phases.OWN_SPACE


def step_state(threads: int, layers: int) -> NDArray[np.int64]:
    """The state that `decode` and `decode_head` take; zero it before each."""
    return team_state(threads, _PHASES_PER_LAYER * (layers + 1))


@parallel_kernel
def decode(
    state: Any, threads: Any, network: Any, qkv: Any, output: Any, gate_up: Any, down: Any,
    rows: Any, buffers: Any, normed: Any, attended: Any, gated: Any, adapters: Any,
) -> None:  # fmt: skip
    """Run the layers over buffers.hidden (rows, hidden), in place; the last norm included.

    Args:
        state: zeroed, from `step_state`.
        threads: how many take part, at most numba's.
        network: Network.
        qkv, output, gate_up, down: Projections, as numba takes no tuples of tuples into a loop.
        rows: Rows.
        buffers: Buffers; all but `hidden` is overwritten.
        normed, attended, gated: Activations; overwritten.
        adapters: low_rank.Adapters; its projections are QKV, OUTPUT, GATE_UP and DOWN, its lowered
            rows as many as those of Activations.
    """
    for thread in prange(threads):
        _walk(
            state, np.int64(thread), threads, network, qkv, output, gate_up, down, rows, buffers,
            normed, attended, gated, adapters,
        )  # fmt: skip


@parallel_kernel
def decode_head(
    state: Any, threads: Any, hidden: Any, packed: Any, scales: Any, room: Any, logits: Any,
    nobody: Any,
) -> None:  # fmt: skip
    """Write logits = hidden @ head.T.

    Args:
        state: zeroed, from `step_state`.
        threads: how many take part, at most numba's.
        hidden: (rows, hidden) float32.
        packed, scales: the head, one layer of Matrices.
        room: rows for the head, as in Activations.
        logits: (rows, vocab) float32.
        nobody: low_rank.Adapters with nothing chosen: none changes the head.
    """
    for thread in prange(threads):
        _walk_head(state, np.int64(thread), threads, hidden, packed, scales, room, logits, nobody)


@kernel
def _walk_head(
    state: Any, thread: Any, threads: Any, hidden: Any, packed: Any, scales: Any, room: Any,
    logits: Any, nobody: Any,
) -> None:  # fmt: skip
    allowed = places()
    team = join(state, thread, threads, allowed)
    hidden, packed, scales, logits = borrowed((hidden, packed, scales, logits))
    room = borrowed(room)
    none = np.empty(0, np.float32)
    site = phases.Site(borrowed(nobody), np.int64(0), np.int64(0), np.int64(0))
    base = phases.quantize(team, hidden, none, np.float32(0.0), room, site)
    phases.project(team, room, base, packed, scales, none, phases.STORE, logits, site)
    leave(team, allowed)


@kernel
def _walk(
    state: Any, thread: Any, threads: Any, network: Any, qkv: Any, output: Any, gate_up: Any,
    down: Any, rows: Any, buffers: Any, normed: Any, attended: Any, gated: Any, adapters: Any,
) -> None:  # fmt: skip
    """One thread's way through a step."""
    allowed = places()
    team = join(state, thread, threads, allowed)
    network, rows, buffers = borrowed(network), borrowed(rows), borrowed(buffers)
    projections = borrowed(Projections(qkv, output, gate_up, down))
    room, adapters = borrowed(Activations(normed, attended, gated)), borrowed(adapters)
    layers, count = projections.qkv.packed.shape[0], np.int64(buffers.hidden.shape[0])
    by_rows = count >= _SHARED_ROWS * threads
    who = alone(team) if by_rows else team
    shares = -(-count // _SHARE) if by_rows else np.int64(1)
    for layer in range(layers + 1):
        phase = begin_phase(team)
        while True:
            start, end = claim(team, phase, shares) if by_rows else (np.int64(0), np.int64(1))
            if start >= end:
                break
            first, last = start * _SHARE, min(end * _SHARE, count) if by_rows else count
            _between(
                who, network, projections, rows, buffers, room, adapters, layer, first, last
            )  # fmt: skip
            if not by_rows:
                break
        if layer < layers:
            barrier(team)
            phases.attend(team, network, layer, rows, buffers)
            barrier(team)
    leave(team, allowed)


@inlined
def _between(
    team: Any, network: Any, projections: Any, rows: Any, buffers: Any, room: Any, adapters: Any,
    layer: Any, first: Any, last: Any,
) -> None:  # fmt: skip
    """Rows [first, last), from the attention of the layer before to that of `layer`."""
    hidden, eps, layers = buffers.hidden[first:last], network.eps, projections.qkv.packed.shape[0]
    if layer > 0:
        no_norm = network.norms[0, :0]
        done, mixed, inner = layer - 1, _flat(buffers.mixed)[first:last], buffers.inner[first:last]
        site = phases.Site(adapters, done, OUTPUT, first)
        base = phases.quantize(team, mixed, no_norm, eps, room.attended, site)
        _apply(team, room.attended, base, projections.output, phases.ADD, hidden, site)
        barrier(team)
        norm = network.norms[2 * done + 1]
        site = phases.Site(adapters, done, GATE_UP, first)
        base = phases.quantize(team, hidden, norm, eps, room.normed, site)
        _apply(team, room.normed, base, projections.gate_up, phases.GATE, inner, site)
        barrier(team)
        site = phases.Site(adapters, done, DOWN, first)
        base = phases.quantize(team, inner, no_norm, eps, room.gated, site)
        _apply(team, room.gated, base, projections.down, phases.ADD, hidden, site)
        barrier(team)
    norm = network.norms[2 * layer]
    if layer == layers:
        phases.normalize_rows(team, hidden, norm, eps)
        return
    site = phases.Site(adapters, layer, QKV, first)
    base = phases.quantize(team, hidden, norm, eps, room.normed, site)
    heads = _flat(buffers.qkv)[first:last]
    _apply(team, room.normed, base, projections.qkv, phases.STORE, heads, site)
    if not phases.alone(rows):
        barrier(team)
        phases.place(team, network, layer, rows, buffers.qkv, first, last)


@inlined
def _flat(heads: Any) -> Any:
    """(rows, heads, head_dim) as (rows, heads * head_dim)."""
    return heads.reshape((heads.shape[0], heads.shape[1] * heads.shape[2]))


@inlined
def _apply(team: Any, x: Any, base: Any, weights: Any, finish: Any, out: Any, site: Any) -> None:
    """A projection of one layer."""
    layer = site.layer
    packed, scales, bias = weights.packed[layer], weights.scales[layer], weights.bias[layer]
    phases.project(team, x, base, packed, scales, bias, finish, out, site)
