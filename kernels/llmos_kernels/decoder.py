"""A whole step of a quantized Llama-family decoder in one parallel region.

The threads walk through the layers together (see _team): a step of one token costs some hundred and
fifty short barriers instead of twice as many parallel regions. Rows are quantized where they are
needed; while they are few, every thread does it for itself, which is quicker than waiting for the
others. A row's bits depend on neither: every output is computed by one thread, in one order.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from llmos_kernels import _decoder_phases as phases
from llmos_kernels._jit import borrowed, inlined, kernel, parallel_kernel
from llmos_kernels._team import Team, barrier, team_state

OWN_ROWS = phases.OWN_ROWS
Array = NDArray[Any]
_PHASES_PER_LAYER = 10


class Matrices(NamedTuple):
    """One projection in every layer.

    packed: (layers, panels, elements) as quantized_linear packs it. scales: (layers, panels *
    PANEL) float32. bias: like scales, or (layers, 0).
    """

    packed: Array
    scales: Array
    bias: Array


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


def step_state(threads: int, layers: int) -> NDArray[np.int64]:
    """The state that `decode` and `decode_head` take; zero it before each."""
    return team_state(threads, _PHASES_PER_LAYER * layers + 2)


@parallel_kernel
def decode(
    state: Any, threads: Any, network: Any, qkv: Any, output: Any, gate_up: Any, down: Any,
    rows: Any, buffers: Any, normed: Any, attended: Any, gated: Any,
) -> None:  # fmt: skip
    """Run the layers over buffers.hidden (rows, hidden), in place; the last norm included.

    Args:
        state: zeroed, from `step_state`.
        threads: how many take part, at most numba's.
        network: Network.
        qkv, output, gate_up, down: Matrices. Panels of gate_up hold LANES columns of gate and the
            same LANES of up.
        rows: Rows.
        buffers: Buffers; all but `hidden` is overwritten.
        normed, attended, gated: Quantized rows of hidden, heads * head_dim and intermediate
            features: room for max(rows, threads * OWN_ROWS).
    """
    for thread in prange(threads):
        _walk(
            Team(state, np.int64(thread), threads), network, qkv, output, gate_up, down, rows,
            buffers, normed, attended, gated,
        )  # fmt: skip


@parallel_kernel
def decode_head(
    state: Any, threads: Any, hidden: Any, packed: Any, scales: Any, quantized: Any, logits: Any
) -> None:
    """Write logits = hidden @ head.T.

    Args:
        state: zeroed, from `step_state`.
        threads: how many take part, at most numba's.
        hidden: (rows, hidden) float32.
        packed, scales: the head, one layer of Matrices.
        quantized: room as in Buffers.
        logits: (rows, vocab) float32.
    """
    for thread in prange(threads):
        _walk_head(
            Team(state, np.int64(thread), threads), hidden, packed, scales, quantized, logits
        )


@kernel
def _walk_head(
    team: Any, hidden: Any, packed: Any, scales: Any, quantized: Any, logits: Any
) -> None:
    hidden, packed, scales, logits = borrowed((hidden, packed, scales, logits))
    quantized = borrowed(quantized)
    base = phases.quantize(team, hidden, quantized)
    no_bias = np.empty(0, np.float32)
    phases.project(team, quantized, base, packed, scales, no_bias, phases.STORE, logits, quantized)


@inlined
def _apply(
    team: Any, x: Any, base: Any, weights: Any, layer: Any, finish: Any, out: Any, quantized: Any
) -> None:
    """A projection of one layer."""
    packed, scales, bias = weights.packed[layer], weights.scales[layer], weights.bias[layer]
    phases.project(team, x, base, packed, scales, bias, finish, out, quantized)


@kernel
def _walk(
    team: Any, network: Any, qkv: Any, output: Any, gate_up: Any, down: Any, rows: Any,
    buffers: Any, normed: Any, attended: Any, gated: Any,
) -> None:  # fmt: skip
    """One thread's way through a step."""
    network, rows, buffers = borrowed(network), borrowed(rows), borrowed(buffers)
    qkv, output, gate_up, down = borrowed((qkv, output, gate_up, down))
    normed, attended, gated = borrowed((normed, attended, gated))
    hidden, inner, eps = buffers.hidden, buffers.inner, network.eps
    layers, count = qkv.packed.shape[0], hidden.shape[0]
    heads = buffers.qkv.reshape((count, buffers.qkv.shape[1] * buffers.qkv.shape[2]))
    mixed = buffers.mixed.reshape((count, buffers.mixed.shape[1] * buffers.mixed.shape[2]))
    for layer in range(layers):
        norm = network.norms[2 * layer]
        base = phases.normalize_and_quantize(team, hidden, norm, eps, normed)
        _apply(team, normed, base, qkv, layer, phases.STORE, heads, gated)
        barrier(team)
        done = phases.attend(team, network, layer, rows, buffers, attended)
        barrier(team)
        base = np.int64(0) if done else phases.quantize(team, mixed, attended)
        _apply(team, attended, base, output, layer, phases.ADD, hidden, gated)
        barrier(team)
        norm = network.norms[2 * layer + 1]
        base = phases.normalize_and_quantize(team, hidden, norm, eps, normed)
        few = count <= OWN_ROWS
        finish = phases.GATE if few else phases.GATE_QUANTIZE
        _apply(team, normed, base, gate_up, layer, finish, inner, gated)
        barrier(team)
        base = phases.quantize(team, inner, gated) if few else np.int64(0)
        _apply(team, gated, base, down, layer, phases.ADD, hidden, gated)
        barrier(team)
    phases.normalize_rows(team, hidden, network.norms[2 * layers], eps)
