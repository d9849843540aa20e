"""From logits to token ids: one pass over the batch, one thread per row.

Order, as in transformers' generation: mask, logit bias, repetition penalty, presence and
frequency penalties, temperature, top-k, top-p, min-p, draw. Log-probabilities are of the model's
own distribution, before all of these. A row's token depends on its own inputs only. Twins:
reference.penalize and reference.distribution.
"""

from typing import Any

import numpy as np
from numba import prange

from llmos_kernels._jit import exp32, inlined, kernel, parallel_kernel
from llmos_kernels.nucleus import draw_nucleus
from llmos_kernels.random import uniform
from llmos_kernels.selection import argmax, log_sum_exp, most_likely, peak, reach, sum_exp


@parallel_kernel
def sample(
    logits: Any, params: Any, seeds: Any, draws: Any, seen: Any, seen_at: Any, bias: Any,
    bias_at: Any, masks: Any, mask_of: Any, tokens: Any, logprobs: Any, top_ids: Any,
    top_logprobs: Any,
) -> None:  # fmt: skip
    """Draw one token per row. `logits` is overwritten.

    Args:
        logits: (rows, vocab) float32, contiguous.
        params: (rows,) records of PARAMS.
        seeds: (rows,) uint64.
        draws: (rows, 2) int64: choice, position in the answer.
        seen: (entries,) records of SEEN: the tokens penalties look at, row after row.
        seen_at: (rows + 1,) int64, where each row's entries begin.
        bias: (entries,) records of BIAS, row after row.
        bias_at: (rows + 1,) int64.
        masks: (masked, ceil(vocab / 32)) int32: bit token % 32 of word token // 32 allows a token.
        mask_of: (rows,) int32, the row of `masks` that a row keeps to; -1 for none.
        tokens: (rows,) int32, out.
        logprobs: (rows,) float32, out, of the drawn token; written where num_logprobs >= 0.
        top_ids, top_logprobs: (rows, width) int32 and float32, out: the first num_logprobs columns
            are the most likely tokens, most likely first.
    """
    for row in prange(logits.shape[0]):
        line, spec = logits[row], params[row]
        raw = np.float32(0.0)
        wanted = spec.num_logprobs
        if wanted >= 0:
            raw = log_sum_exp(line)
            best = most_likely(line, wanted)
            for at in range(wanted):
                top_ids[row, at] = best[at]
                top_logprobs[row, at] = line[best[at]] - raw
        kept = line.copy() if wanted >= 0 else line
        if mask_of[row] >= 0:
            _apply_mask(line, masks[mask_of[row]])
        _apply_bias(line, bias, bias_at[row], bias_at[row + 1])
        _apply_penalties(line, spec, seen, seen_at[row], seen_at[row + 1])
        if spec.temperature < np.float32(1e-4):
            token = argmax(line)
        else:
            token = _draw(line, spec, uniform(seeds[row], draws[row, 0], draws[row, 1]))
        tokens[row] = token
        if wanted >= 0:
            logprobs[row] = kept[token] - raw


PARAMS = np.dtype(
    [
        ("temperature", np.float32), ("top_p", np.float32), ("min_p", np.float32),
        ("repetition", np.float32), ("presence", np.float32), ("frequency", np.float32),
        ("top_k", np.int32), ("num_logprobs", np.int32),
    ]
)  # fmt: skip
# A token of the prompt or answer, and how often the answer has it.
SEEN = np.dtype([("token", np.int32), ("count", np.int32)])
BIAS = np.dtype([("token", np.int32), ("value", np.float32)])


@inlined
def _apply_mask(line: Any, mask: Any) -> None:
    for word in range(mask.shape[0]):
        bits, first = mask[word], 32 * word
        end = min(first + 32, line.shape[0])
        if bits == 0:
            line[first:end] = np.float32(-np.inf)
        elif bits != -1:
            for at in range(first, end):
                if (bits >> (at - first)) & 1 == 0:
                    line[at] = np.float32(-np.inf)


@inlined
def _apply_bias(line: Any, bias: Any, start: Any, end: Any) -> None:
    for at in range(start, end):
        line[bias[at].token] += bias[at].value


@inlined
def _apply_penalties(line: Any, spec: Any, seen: Any, start: Any, end: Any) -> None:
    for at in range(start, end):
        token, count = seen[at].token, seen[at].count
        value = line[token]
        value = value / spec.repetition if value > 0 else value * spec.repetition
        if count > 0:
            value -= spec.presence + spec.frequency * np.float32(count)
        line[token] = value


@kernel
def _draw(line: Any, spec: Any, u: Any) -> Any:
    """Token at `u` of the cumulative distribution after temperature, top-k, top-p and min-p."""
    inverse = np.float32(1.0) / spec.temperature
    if not 0 < spec.top_k < line.shape[0]:
        return _draw_all(line, spec, inverse, u)
    order = most_likely(line, spec.top_k)
    mass = np.empty(order.shape[0], np.float64)
    total = 0.0
    for at in range(order.shape[0]):
        mass[at] = np.float64(exp32((line[order[at]] - line[order[0]]) * inverse))
        total += mass[at]
    keep = order.shape[0]
    if spec.top_p < np.float32(1.0):
        keep = _reach(mass, np.float64(spec.top_p) * total)
    while keep > 1 and mass[keep - 1] < np.float64(spec.min_p) * mass[0]:
        keep -= 1
    total = 0.0
    for at in range(keep):
        total += mass[at]
    return order[min(_reach(mass[:keep], u * total), keep) - 1]


@inlined
def _reach(mass: Any, target: Any) -> Any:
    """How many leading entries it takes for their sum to exceed `target`."""
    total = 0.0
    for at in range(mass.shape[0]):
        total += mass[at]
        if total > target:
            return at + 1
    return mass.shape[0]


@kernel
def _draw_all(line: Any, spec: Any, inverse: Any, u: Any) -> Any:
    """Draw without top-k; the line becomes its exponentials."""
    none = np.float32(0.0)
    if spec.top_p < np.float32(1.0):
        total = sum_exp(line, peak(line), inverse, none, line)
        return draw_nucleus(line, total, spec.top_p, spec.min_p, u)
    total = sum_exp(line, peak(line), inverse, spec.min_p, line)
    return reach(line, u * total)
