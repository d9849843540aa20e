"""The head and the cross-entropy in one, a few rows at a time.

A whole (tokens, vocabulary) table of scores would be the largest thing in memory: 49,152 words
and 2,048 tokens are 400 MB, several times over. Here a piece of it exists at a time, and its
gradient is taken while it is there (Hsu et al., 2024: Liger kernels; Wijmans et al., 2024).
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from llmosd.architectures.trainable import rest

_SCORES = 1 << 23
"""Scores that exist at a time: 32 MiB."""


class Sums(NamedTuple):
    """Over all rows: the loss with label smoothing, the plain one, and hits of the first guess."""

    loss: Tensor
    plain: float
    hits: int


def cross_entropy(
    hidden: Tensor,  # (rows, hidden)
    head: Tensor,  # (vocabulary, hidden)
    targets: Tensor,  # (rows,)
    smoothing: float = 0.0,
) -> Sums:
    """Sum of -log softmax(hidden @ head.T)[target].

    With `smoothing` s, a target is 1 - s of itself and s of all words alike (Szegedy et al.,
    2016). Without gradients the hits are counted too; with them they are 0.
    """
    if torch.is_grad_enabled() and (hidden.requires_grad or head.requires_grad):
        loss, plain = _CrossEntropy.apply(hidden, head, targets, smoothing)
        return Sums(loss, float(plain), 0)
    loss, plain, hits = hidden.new_zeros((), dtype=torch.float64), 0.0, 0
    for rows in _pieces(len(targets), len(head)):
        scores, wanted = _scores(hidden[rows], head), targets[rows]
        hits += int((scores.argmax(1) == wanted).sum())
        one, two = _losses(scores, wanted, smoothing)
        loss += one
        plain += float(two)
    return Sums(loss.float(), plain, hits)


class _CrossEntropy(Function):
    """The gradient is computed with the loss, and only scaled in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        wants_hidden, wants_head = ctx.needs_input_grad[:2]
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        grad_head = torch.zeros_like(head, dtype=torch.float32) if wants_head else None
        loss = hidden.new_zeros((), dtype=torch.float64)
        plain = hidden.new_zeros((), dtype=torch.float64)
        for rows in _pieces(len(targets), len(head)):
            x, wanted = hidden[rows], targets[rows]
            scores = _scores(x, head)
            one, two = _losses(scores, wanted, smoothing)
            loss += one
            plain += two
            wrong = _gradient(scores, wanted, smoothing)
            if grad_hidden is not None:
                grad_hidden[rows] = _product(wrong, head)
            if grad_head is not None:
                _add_product(grad_head, wrong, x)
        ctx.grads = grad_hidden, grad_head
        ctx.mark_non_differentiable(plain)
        return loss.float(), plain

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        out = [None if grad is None else grad.mul_(grads[0]) for grad in ctx.grads]
        ctx.grads = None
        return *out, None, None


def log_probabilities(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """(rows,) log softmax(hidden @ head.T)[target] float32, each to be differentiated by itself."""
    out: Tensor = _LogProbabilities.apply(hidden, head, targets)
    return out


class _LogProbabilities(Function):
    """Scores are computed again in the backward pass, which alone knows each row's share."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
        out = hidden.new_empty(len(targets), dtype=torch.float32)
        for rows in _pieces(len(targets), len(head)):
            scores, wanted = _scores(hidden[rows], head), targets[rows]
            out[rows] = scores.gather(1, wanted[:, None]).squeeze(1) - scores.logsumexp(1)
        ctx.save_for_backward(hidden, head, targets)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, head, targets = ctx.saved_tensors
        wants_hidden, wants_head = ctx.needs_input_grad[:2]
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        grad_head = torch.zeros_like(head, dtype=torch.float32) if wants_head else None
        for rows in _pieces(len(targets), len(head)):
            x = hidden[rows]
            wrong = _gradient(_scores(x, head), targets[rows], 0.0).mul_(-grads[0][rows, None])
            if grad_hidden is not None:
                grad_hidden[rows] = _product(wrong, head)
            if grad_head is not None:
                _add_product(grad_head, wrong, x)
        return grad_hidden, grad_head, None


def _pieces(rows: int, words: int) -> Iterator[slice]:
    step = max(64, _SCORES // words)
    for start in range(0, rows, step):
        rest.here()
        yield slice(start, start + step)


def _scores(x: Tensor, head: Tensor) -> Tensor:
    """(rows, vocabulary) float32; the product in autocast's type where that is on."""
    kind = x.device.type
    if torch.is_autocast_enabled(kind):
        narrow = torch.get_autocast_dtype(kind)
        return (x.to(narrow) @ head.to(narrow).T).float()
    return (x @ head.to(x.dtype).T).float()


def _losses(scores: Tensor, wanted: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """Sums of the smoothed and of the plain losses."""
    total = scores.logsumexp(1)
    plain = (total - scores.gather(1, wanted[:, None]).squeeze(1)).double().sum()
    if not smoothing:
        return plain, plain
    even = (total - scores.mean(1)).double().sum()
    return (1 - smoothing) * plain + smoothing * even, plain


def _gradient(scores: Tensor, wanted: Tensor, smoothing: float) -> Tensor:
    """Of the sum of losses: softmax(scores) - target; overwrites `scores`."""
    wrong = torch.softmax(scores, 1, out=scores) if not scores.requires_grad else scores.softmax(1)
    if smoothing:
        wrong.sub_(smoothing / wrong.shape[1])
    share = wrong.new_full((len(wanted), 1), smoothing - 1)
    return wrong.scatter_add_(1, wanted[:, None], share)


def _product(wrong: Tensor, head: Tensor) -> Tensor:
    kind = wrong.device.type
    if torch.is_autocast_enabled(kind):
        narrow = torch.get_autocast_dtype(kind)
        return wrong.to(narrow) @ head.to(narrow)
    return wrong @ head.to(wrong.dtype)


def _add_product(total: Tensor, wrong: Tensor, x: Tensor) -> None:
    total.addmm_(wrong.T, x.to(wrong.dtype))
