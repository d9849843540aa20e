"""The kernels in plain NumPy: what they compute, without how. Oracle of the tests, slow."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmos_kernels._placing import BLOCK
from llmos_kernels.quantize import GROUP
from llmos_kernels.whole_rows import PEAK

Array = NDArray[Any]


def linear(x: Array, weight: Array, bias: Array | None) -> Array:
    """Give x (rows, in) @ weight (out, in).T + bias, in float64."""
    product = x.astype(np.float64) @ weight.astype(np.float64).T
    return product if bias is None else product + bias


def low_rank(x: Array, pairs: list[tuple[Array, Array] | None]) -> Array:
    """B A x of every row, by the (A, B) of its adapter; zeros where it has none. In float64."""
    width = max(len(pair[1]) for pair in pairs if pair)
    out = np.zeros((len(x), width))
    for row, pair in enumerate(pairs):
        if pair:
            down, up = (part.astype(np.float64) for part in pair)
            out[row] = up @ (down @ x[row])
    return out


def rms_norm(x: Array, weight: Array, eps: float) -> Array:
    """Root mean square normalization over the last axis, in float64."""
    wide = x.astype(np.float64)
    return wide / np.sqrt((wide**2).mean(-1, keepdims=True) + eps) * weight


def layer_norm(x: Array, weight: Array, bias: Array, eps: float) -> Array:
    """Layer normalization over the last axis, in float64."""
    wide = x.astype(np.float64)
    centered = wide - wide.mean(-1, keepdims=True)
    return centered / np.sqrt((centered**2).mean(-1, keepdims=True) + eps) * weight + bias


def silu_multiply(gate_up: Array) -> Array:
    """silu(first half) * second half of the last axis, in float64."""
    gate, up = np.split(gate_up.astype(np.float64), 2, axis=-1)
    return gate / (1 + np.exp(-gate)) * up


def gelu(x: Array) -> Array:
    """GELU, tanh form, in float64."""
    wide = x.astype(np.float64)
    return 0.5 * wide * (1 + np.tanh(np.sqrt(2 / np.pi) * (wide + 0.044715 * wide**3)))


def lstm_cell(inputs: Array, states: Array, cell: Array) -> tuple[Array, Array]:
    """Next hidden and cell state, in float64; gates are in, forget, cell, out."""
    enter, forget, value, leave = np.split(inputs.astype(np.float64) + states, 4, axis=-1)
    kept = _sigmoid(forget) * cell + _sigmoid(enter) * np.tanh(value)
    return _sigmoid(leave) * np.tanh(kept), kept


def gru_cell(inputs: Array, states: Array, hidden: Array) -> Array:
    """Next hidden state, in float64; gates are reset, update, new."""
    reset, update, new = np.split(inputs.astype(np.float64), 3, axis=-1)
    reset_2, update_2, new_2 = np.split(states.astype(np.float64), 3, axis=-1)
    share = _sigmoid(update + update_2)
    return (1 - share) * np.tanh(new + _sigmoid(reset + reset_2) * new_2) + share * hidden


def rnn_cell(inputs: Array, states: Array) -> Array:
    """Next hidden state, in float64."""
    out: Array = np.tanh(inputs.astype(np.float64) + states)
    return out


def _sigmoid(x: Array) -> Array:
    # By tanh, which does not overflow.
    out: Array = 0.5 + 0.5 * np.tanh(x / 2)
    return out


def rotate(x: Array, cosine: Array, sine: Array) -> Array:
    """Rotate (rows, heads, head_dim) by (rows, rotary // 2) angles; the rest stays."""
    half = cosine.shape[1]
    low, high, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    c, s = cosine[:, None], sine[:, None]
    return np.concatenate([low * c - high * s, high * c + low * s, rest], axis=-1)


def attend(query: Array, key: Array, value: Array, scale: float, window: int = 0) -> Array:
    """Causal attention of one sequence, in float64.

    query (rows, heads, head_dim) are the last `rows` positions of key and value
    (positions, kv_heads, head_dim); returns (rows, heads, head_dim).
    """
    rows, heads, _ = query.shape
    group = heads // key.shape[1]
    at = np.arange(len(key) - rows, len(key))[:, None]
    seen = np.arange(len(key))
    hidden = (seen > at) | ((seen <= at - window) if window else False)
    out = np.empty(query.shape, np.float64)
    for head in range(heads):
        scores = query[:, head].astype(np.float64) @ key[:, head // group].T * scale
        scores[hidden] = -np.inf
        share = np.exp(scores - scores.max(-1, keepdims=True))
        out[:, head] = share / share.sum(-1, keepdims=True) @ value[:, head // group]
    return out


def paged(key: Array, value: Array, table: Array, num_blocks: int) -> tuple[Array, Array]:
    """Keys and values (positions, kv_heads, head_dim) as the cache's two arrays of blocks."""
    _, kv_heads, head_dim = key.shape
    keys = np.zeros((num_blocks, kv_heads, head_dim, BLOCK), np.float32)
    values = np.zeros((num_blocks, kv_heads, BLOCK, head_dim), np.float32)
    for position in range(len(key)):
        block, offset = table[position // BLOCK], position % BLOCK
        keys[block, :, :, offset] = key[position]
        values[block, :, offset] = value[position]
    return keys, values


def philox(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    """Philox4x32-10 in Python's integers."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        first, second = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (
            (second >> 32) ^ c1 ^ k0,
            second & 0xFFFFFFFF,
            (first >> 32) ^ c3 ^ k1,
            first & 0xFFFFFFFF,
        )
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c0, c1, c2, c3


def uniform(seed: int, choice: int, position: int) -> float:
    """A float in [0, 1) with 53 random bits."""
    key = (seed & 0xFFFFFFFF, seed >> 32)
    high, low, _, _ = philox((position, choice, 0, 0), key)
    return _unit(high, low)


def normals(seed: int, choice: int, size: int) -> Array:
    """(size,) float64 standard normal numbers."""
    key, found = (seed & 0xFFFFFFFF, seed >> 32), []
    for index in range(-(-size // 2)):
        one, two, three, four = philox((index, choice, 1, 0), key)
        radius = np.sqrt(-2.0 * np.log(1.0 - _unit(one, two)))
        angle = 2.0 * np.pi * _unit(three, four)
        found += [radius * np.cos(angle), radius * np.sin(angle)]
    return np.array(found[:size])


def _unit(high: int, low: int) -> float:
    return float((high >> 5) * 67108864 + (low >> 6)) / 9007199254740992.0


def distribution(
    logits: Array, *, temperature: float, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0
) -> Array:
    """Probabilities (vocab,) after temperature, top-k, top-p and min-p, in that order."""
    scores = logits.astype(np.float64) / temperature
    order = np.argsort(-scores, kind="stable")
    if 0 < top_k < len(order):
        order = order[:top_k]
    mass = np.exp(scores[order] - scores[order[0]])
    if top_p < 1:
        before = np.cumsum(mass) - mass
        order, mass = order[before <= top_p * mass.sum()], mass[before <= top_p * mass.sum()]
    keep = mass >= min_p * mass[0]
    result = np.zeros(len(logits), np.float64)
    result[order[keep]] = mass[keep] / mass[keep].sum()
    return result


def penalize(
    logits: Array, prompt: list[int], drawn: list[int], repetition: float, presence: float,
    frequency: float,
) -> Array:  # fmt: skip
    """Logits (vocab,) after the three penalties."""
    result = logits.astype(np.float64)
    for token in {*prompt, *drawn}:
        value = result[token]
        result[token] = value / repetition if value > 0 else value * repetition
    for token in set(drawn):
        result[token] -= presence + frequency * drawn.count(token)
    return result


def quantize(x: Array) -> tuple[Array, Array]:
    """Int8 numbers (rows, features) and float32 scales (rows, groups) of whole groups of GROUP."""
    groups = x.astype(np.float32).reshape(len(x), -1, GROUP)
    peak = np.abs(groups).max(-1, keepdims=True)
    inverse = np.divide(np.float32(127), peak, out=np.zeros_like(peak), where=peak > 0)
    numbers = np.rint(groups * inverse).astype(np.int8).reshape(x.shape)
    return numbers, (peak / np.float32(127))[..., 0]


def quantize_whole(x: Array) -> tuple[Array, Array]:
    """Numbers of 16 bits (rows, features) and float32 scales (rows, 1) of whole rows."""
    x = x.astype(np.float32)
    peak, top = np.abs(x).max(-1, keepdims=True), np.float32(PEAK)
    inverse = np.divide(top, peak, out=np.zeros_like(peak), where=peak > 0)
    return np.rint(x * inverse).astype(np.int16), peak / top


def quantized_linear(x: tuple[Array, Array], weight: Array) -> Array:
    """Give quantized rows @ weight.T in float64; `weight` (out, in) are the weights' values."""
    numbers, scales = x
    group = numbers.shape[1] // scales.shape[1]
    wide = numbers.astype(np.float64) * np.repeat(scales.astype(np.float64), group, axis=1)
    return wide @ weight.astype(np.float64).T
