"""From logits to drawn tokens, where the logits are: llmos_kernels.sampling in batched torch.

Same order, same ties, same random numbers. Sums run over the device's own order in float64, so a
draw is another one only where its random number falls within rounding of a border between tokens.
What the host knows beforehand goes to the device while the network still runs there; what comes
back is one small copy, the only time anybody waits.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llmosd.engine.draws import Draw
from llmosd.engine.runner import to_device
from llmosd.engine.torch_sampling import (
    Numbers,
    draw_all,
    draw_ranked,
    log_sum_exp,
    most_likely,
    uniform,
)
from llmosd.ipc.messages import TokenOut

_GREEDY_BELOW = 1e-4  # temperature
# Tokens that are put in order for top-p before all are.
_FIRST_RANKED = 1024


class TorchSampler:
    """See Sampler."""

    @torch.inference_mode()
    def draw(self, logits: Tensor, draws: list[Draw]) -> list[TokenOut]:
        """Draw one token per row."""
        wanted = [each.sequence.request.num_logprobs for each in draws]
        told = _Told(logits, max(wanted)) if max(wanted) >= 0 else None
        _apply_masks(logits, draws)
        _apply_bias(logits, draws)
        _apply_penalties(logits, draws)
        peak, likeliest = logits.max(-1, keepdim=True)
        specs = [each.sequence.request.sampling for each in draws]
        sampled = [spec.temperature >= _GREEDY_BELOW for spec in specs]
        if not any(sampled):
            return _results(_copied(likeliest, told), draws)
        vocab = logits.shape[1]
        numbers = _numbers(draws, vocab, logits.device)
        ranked = [_is_ranked(each, vocab) for each in draws]
        tokens = likeliest
        if not all(at or not drawn for at, drawn in zip(ranked, sampled, strict=True)):
            plain = [drawn and not at for at, drawn in zip(ranked, sampled, strict=True)]
            tokens = _where(plain, draw_all(logits, peak, likeliest, numbers), tokens)
        if not any(ranked):
            return _results(_copied(tokens, told), draws)
        for count in _counts(draws, vocab):
            drawn, enough = draw_ranked(logits, peak, numbers, count)
            copied = _copied(_where(ranked, drawn, tokens), told, enough)
            if all(copied[ranked, -1]):
                break
        return _results(copied, draws)

    @torch.inference_mode()
    def best(self, logits: Tensor, draws: list[Draw], count: int) -> list[list[tuple[int, float]]]:
        """All rows at once."""
        logits = logits[: len(draws)].clone()
        for row, each in enumerate(draws):
            for token, value in each.bias:
                logits[row, token] += value
        found = (logits - log_sum_exp(logits)).topk(min(count, logits.shape[1]))
        pairs = zip(found.indices.tolist(), found.values.tolist(), strict=True)
        return [list(zip(tokens, values, strict=True)) for tokens, values in pairs]

    @torch.inference_mode()
    def score(
        self, logits: Tensor, tokens: list[int], count: int = 0
    ) -> tuple[list[float], list[int], list[list[tuple[int, float]]]]:
        """All rows at once."""
        following = to_device(np.array(tokens, np.int64), logits.device).unsqueeze(1)
        own, total = logits.gather(1, following), log_sum_exp(logits)
        before = torch.arange(logits.shape[1], device=logits.device) < following
        ranks = 1 + ((logits > own) | ((logits == own) & before)).sum(1)
        top: list[list[tuple[int, float]]] = []
        if count:
            ids, values = most_likely(logits, min(count, logits.shape[1]))
            pairs = zip(ids.tolist(), (values - total).tolist(), strict=True)
            top = [list(zip(*pair, strict=True)) for pair in pairs]
        return (own - total)[:, 0].tolist(), ranks.tolist(), top


class _Told:
    """What log-probabilities are told from: the model's own distribution."""

    def __init__(self, logits: Tensor, width: int) -> None:
        self._logits = logits.clone()
        self._raw = log_sum_exp(logits)
        self._top, values = most_likely(logits, width)
        self._top_logprobs = values - self._raw

    def columns(self, tokens: Tensor) -> list[Tensor]:
        """(rows, 1 + 2 * width) as int32: of the drawn tokens, and the most likely ones."""
        drawn = self._logits.gather(1, tokens) - self._raw
        parts = (drawn.view(torch.int32), self._top.int(), self._top_logprobs.view(torch.int32))
        return [part.contiguous() for part in parts]


def _numbers(draws: list[Draw], vocab: int, device: torch.device) -> Numbers:
    requests = [each.sequence.request for each in draws]
    specs = [request.sampling for request in requests]
    table = np.array(
        [
            [spec.temperature if spec.temperature >= _GREEDY_BELOW else 1.0 for spec in specs],
            [spec.top_p for spec in specs],
            [spec.min_p for spec in specs],
            [spec.top_k if 0 < spec.top_k < vocab else vocab for spec in specs],
            uniform(
                [spec.seed for spec in specs],
                [each.choice for each in draws],
                [each.position for each in draws],
            ),
        ],
        np.float64,
    )
    # The kernels' parameters are float32: so are these, in float64.
    table[:3] = table[:3].astype(np.float32)
    table[0] = np.float32(1) / table[0].astype(np.float32)
    inverse, *rest = to_device(table, device).unsqueeze(2)
    return Numbers(inverse.float(), *rest)


def _is_ranked(each: Draw, vocab: int) -> bool:
    """Whether a token is drawn among the most likely ones, so that these must be put in order."""
    spec = each.sequence.request.sampling
    if spec.temperature < _GREEDY_BELOW:
        return False
    return 0 < spec.top_k < vocab or bool(np.float32(spec.top_p) < 1)


def _counts(draws: list[Draw], vocab: int) -> list[int]:
    """How many tokens to rank: enough for most, then enough for all."""
    specs = [each.sequence.request.sampling for each in draws if _is_ranked(each, vocab)]
    tops = [spec.top_k if 0 < spec.top_k < vocab else _FIRST_RANKED for spec in specs]
    return sorted({min(max(tops), vocab), vocab})


def _apply_masks(logits: Tensor, draws: list[Draw]) -> None:
    """Silence what grammars do not allow."""
    matchers = [each.sequence.matcher for each in draws]
    rows = [row for row, matcher in enumerate(matchers) if matcher is not None]
    if not rows:
        return
    words = np.stack([matcher.mask() for matcher in matchers if matcher is not None])
    masks, at = to_device(words, logits.device), to_device(np.array(rows), logits.device)
    bit = torch.arange(32, device=logits.device, dtype=torch.int32)
    allowed = ((masks.unsqueeze(2) >> bit) & 1).flatten(1)[:, : logits.shape[1]]
    logits[at] = logits[at].masked_fill_(allowed == 0, -torch.inf)


def _apply_bias(logits: Tensor, draws: list[Draw]) -> None:
    vocab = logits.shape[1]
    entries = [
        (row * vocab + token, value) for row, each in enumerate(draws) for token, value in each.bias
    ]
    if entries:
        index, values = to_device(np.array(entries, np.float64).T.copy(), logits.device)
        logits.view(-1).index_add_(0, index.long(), values.float())


def _apply_penalties(logits: Tensor, draws: list[Draw]) -> None:
    vocab = logits.shape[1]
    entries = [
        (row * vocab + token, count, spec.repetition_penalty, spec.presence_penalty,
         spec.frequency_penalty)
        for row, each in enumerate(draws)
        for spec in (each.sequence.request.sampling,)
        for token, count in each.seen
    ]  # fmt: skip
    if not entries:
        return
    index, *rest = to_device(np.array(entries, np.float64).T.copy(), logits.device)
    index, flat = index.long(), logits.view(-1)
    count, repetition, presence, frequency = (part.float() for part in rest)
    value = flat[index]
    value = torch.where(value > 0, value / repetition, value * repetition)
    flat[index] = value - torch.where(count > 0, presence + frequency * count, 0.0)


def _where(rows: list[bool], chosen: Tensor, otherwise: Tensor) -> Tensor:
    """One of two (rows, 1) tensors per row."""
    if all(rows):
        return chosen
    return torch.where(to_device(np.array(rows)[:, None], chosen.device), chosen, otherwise)


def _copied(tokens: Tensor, told: _Told | None, enough: Tensor | None = None) -> NDArray[np.int32]:
    """All that the host wants to know of (rows, 1) drawn tokens, as (rows, columns) of int32."""
    columns = [tokens.int()]
    if told is not None:
        columns += told.columns(tokens)
    if enough is not None:
        columns.append(enough.int())
    copied: NDArray[np.int32] = torch.cat(columns, 1).cpu().numpy()
    return copied


def _results(copied: NDArray[np.int32], draws: list[Draw]) -> list[TokenOut]:
    tokens = copied[:, 0].tolist()
    width = max(each.sequence.request.num_logprobs for each in draws)
    numbers, results = copied.view(np.float32), []
    for row, each in enumerate(draws):
        request, logprob, top = each.sequence.request, None, None
        wanted = request.num_logprobs
        if wanted >= 0:
            logprob = float(numbers[row, 1])
            ids, values = copied[row, 2 : 2 + wanted], numbers[row, 2 + width : 2 + width + wanted]
            top = list(zip(ids.tolist(), values.tolist(), strict=True))
        results.append(TokenOut(request.id, each.choice, tokens[row], "", logprob, top))
    return results
