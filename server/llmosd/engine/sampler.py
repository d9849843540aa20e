"""From logits to drawn tokens, through llmos_kernels.sampling."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from llmos_kernels.sampling import BIAS, PARAMS, SEEN, sample
from llmos_kernels.selection import log_sum_exp
from llmosd.engine.draws import Draw
from llmosd.engine.sequence import Sequence
from llmosd.ipc.messages import TokenOut

_NO_MASKS = np.empty((0, 0), np.int32)


class NumbaSampler:
    """See Sampler."""

    def draw(self, logits: Tensor, draws: list[Draw]) -> list[TokenOut]:
        """Draw one token per row."""
        return draw(logits.numpy(), draws)

    def best(self, logits: Tensor, draws: list[Draw], count: int) -> list[list[tuple[int, float]]]:
        """Row by row."""
        return [
            _best(line, draw.bias, count) for line, draw in zip(logits.numpy(), draws, strict=True)
        ]

    def score(
        self, logits: Tensor, tokens: list[int], count: int = 0
    ) -> tuple[list[float], list[int], list[list[tuple[int, float]]]]:
        """Row by row."""
        lines = logits.numpy()
        pairs = list(zip(lines, tokens, strict=True))
        logprobs = [float(line[token] - log_sum_exp(line)) for line, token in pairs]
        top = [_best(line, [], count) for line in lines] if count else []
        return logprobs, [_rank(line, token) for line, token in pairs], top


def _rank(line: NDArray[np.float32], token: int) -> int:
    above = np.count_nonzero(line > line[token])
    return int(1 + above + np.count_nonzero(line[:token] == line[token]))


def _best(
    line: NDArray[np.float32], bias: list[tuple[int, float]], count: int
) -> list[tuple[int, float]]:
    for token, value in bias:
        line[token] += np.float32(value)
    count = min(count, len(line))
    # Of those that are equally likely the first: what argpartition leaves is in no order.
    threshold = np.partition(line, len(line) - count)[len(line) - count]
    tokens = np.flatnonzero(line >= threshold)
    order = np.argsort(-line[tokens], kind="stable")[:count]
    total = log_sum_exp(line)
    return [(int(token), float(line[token] - total)) for token in tokens[order]]


def draw(logits: NDArray[np.float32], draws: list[Draw]) -> list[TokenOut]:
    """Draw one token per row of `logits` (rows, vocab), which is overwritten."""
    rows = len(draws)
    requests = [each.sequence.request for each in draws]
    params = np.array([_params(each.sequence) for each in draws], PARAMS)
    seeds = np.array([request.sampling.seed for request in requests], np.uint64)
    places = np.array([(each.choice, each.position) for each in draws], np.int64)
    seen, seen_at = _ragged([each.seen for each in draws], SEEN)
    bias, bias_at = _ragged([each.bias for each in draws], BIAS)
    masks, mask_of = _masks(draws)
    width = max([1, *(request.num_logprobs for request in requests)])
    tokens, logprobs = np.empty(rows, np.int32), np.empty(rows, np.float32)
    top_ids, top_logprobs = np.empty((rows, width), np.int32), np.empty((rows, width), np.float32)
    sample(
        logits, params, seeds, places, seen, seen_at, bias, bias_at, masks, mask_of,
        tokens, logprobs, top_ids, top_logprobs,
    )  # fmt: skip
    results = []
    for row, (each, request) in enumerate(zip(draws, requests, strict=True)):
        wanted, logprob, top = request.num_logprobs, None, None
        if wanted >= 0:
            logprob = float(logprobs[row])
            pairs = zip(top_ids[row, :wanted], top_logprobs[row, :wanted], strict=True)
            top = [(int(token), float(value)) for token, value in pairs]
        results.append(TokenOut(request.id, each.choice, int(tokens[row]), "", logprob, top))
    return results


def _params(sequence: Sequence) -> tuple[float | int, ...]:
    spec = sequence.request.sampling
    return (
        spec.temperature, spec.top_p, spec.min_p, spec.repetition_penalty, spec.presence_penalty,
        spec.frequency_penalty, spec.top_k, sequence.request.num_logprobs,
    )  # fmt: skip


def _masks(draws: list[Draw]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The masks of constrained answers, and which row has which."""
    matchers = [each.sequence.matcher for each in draws]
    mask_of = np.full(len(draws), -1, np.int32)
    if not any(matchers):
        return _NO_MASKS, mask_of
    constrained = [row for row, matcher in enumerate(matchers) if matcher is not None]
    mask_of[constrained] = np.arange(len(constrained))
    found = [matcher.mask() for matcher in matchers if matcher is not None]
    return np.stack(found), mask_of


def _ragged(
    rows: list[list[tuple[int, int]]] | list[list[tuple[int, float]]], dtype: np.dtype[np.void]
) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    """Rows end to end, and where each begins."""
    if not any(rows):
        return np.empty(0, dtype), np.zeros(len(rows) + 1, np.int64)
    starts = np.cumsum([0, *(len(row) for row in rows)], dtype=np.int64)
    return np.array([entry for row in rows for entry in row], dtype), starts
