"""From logits to drawn tokens, through llmos_kernels.sampling."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmos_kernels.sampling import BIAS, PARAMS, SEEN, sample
from llmosd.engine.sequence import Sequence
from llmosd.ipc.messages import TokenOut

# Enough to silence a token, finite so that sums of it stay numbers.
_NEVER = -1e30


@dataclass(frozen=True, slots=True)
class Draw:
    """A token to draw: for which answer of which sequence's prompt, how many tokens ahead."""

    sequence: Sequence
    choice: int
    ahead: int = 0

    @property
    def position(self) -> int:
        """Of the token in its answer."""
        return self.sequence.num_drawn + self.ahead


def draw(logits: NDArray[np.float32], draws: list[Draw]) -> list[TokenOut]:
    """Draw one token per row of `logits` (rows, vocab), which is overwritten."""
    rows = len(draws)
    requests = [each.sequence.request for each in draws]
    params = np.array([_params(each.sequence) for each in draws], PARAMS)
    seeds = np.array([request.sampling.seed for request in requests], np.uint64)
    places = np.array([(each.choice, each.position) for each in draws], np.int64)
    seen, seen_at = _ragged([_seen(each.sequence) for each in draws], SEEN)
    bias, bias_at = _ragged([_bias(each) for each in draws], BIAS)
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


def _seen(sequence: Sequence) -> list[tuple[int, int]]:
    """Tokens penalties look at: the answer's, and for the repetition penalty the prompt's."""
    spec = sequence.request.sampling
    if not spec.penalizes:
        return []
    counts = sequence.drawn_counts
    entries = list(counts.items())
    if spec.repetition_penalty != 1:
        entries += [(token, 0) for token in sequence.prompt_tokens if token not in counts]
    return entries


def _bias(each: Draw) -> list[tuple[int, float]]:
    """The request's bias, and a ban on ending before min_tokens."""
    request = each.sequence.request
    entries = list(request.sampling.logit_bias.items())
    if each.position < request.min_tokens:
        entries += [(token, _NEVER) for token in request.stop_ids]
    return entries


def _masks(draws: list[Draw]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The masks of constrained answers, and which row has which."""
    matchers = [each.sequence.matcher for each in draws]
    mask_of = np.full(len(draws), -1, np.int32)
    constrained = [row for row, matcher in enumerate(matchers) if matcher is not None]
    mask_of[constrained] = np.arange(len(constrained))
    found = [matcher.mask() for matcher in matchers if matcher is not None]
    return np.stack(found) if found else np.empty((0, 0), np.int32), mask_of


def _ragged(
    rows: list[list[tuple[int, int]]] | list[list[tuple[int, float]]], dtype: np.dtype[np.void]
) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    """Rows end to end, and where each begins."""
    starts = np.cumsum([0, *(len(row) for row in rows)], dtype=np.int64)
    return np.array([entry for row in rows for entry in row], dtype), starts
