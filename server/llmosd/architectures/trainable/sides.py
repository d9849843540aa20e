"""Examples of an encoder-decoder: where each one's prompt ends and its answer begins."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from llmosd.architectures.trainable.layout import Layout, layout_of


class Side(NamedTuple):
    """The prompts, or the answers, of a batch.

    Attributes:
        rows: (rows,) int64, which of the batch's tokens they are.
        lengths: of each example's part.
        layout: of these.
    """

    rows: Tensor
    lengths: tuple[int, ...]
    layout: Layout


def sides_of(ids: Tensor, lengths: tuple[int, ...], start: int) -> tuple[Side, Side]:
    """Prompts with the token that ends them, and answers from that token on: it belongs to both.

    Prompts end with their first token `start`; where there is none, with the example's last.
    """
    sizes = torch.tensor(lengths)
    begins = sizes.cumsum(0) - sizes
    rows = torch.arange(len(ids))
    owner = torch.arange(len(lengths)).repeat_interleave(sizes)
    found = torch.where(ids.cpu() == start, rows, len(ids))
    first = torch.full((len(lengths),), len(ids)).scatter_reduce(0, owner, found, "amin")
    ends = torch.minimum(first, begins + sizes - 1)
    return (
        _side(rows[rows <= ends[owner]], ends - begins + 1, ids.device),
        _side(rows[rows >= ends[owner]], begins + sizes - ends, ids.device),
    )


def _side(rows: Tensor, sizes: Tensor, device: torch.device) -> Side:
    lengths = tuple(sizes.tolist())
    return Side(rows.to(device), lengths, layout_of(lengths, device))


def look(
    query: Tensor,  # (answers' rows, heads, head_dim)
    key: Tensor,  # (prompts' rows, kv_heads, head_dim)
    value: Tensor,
    prompts: Side,
    answers: Side,
    dropout: float = 0.0,
) -> Tensor:  # (answers' rows, heads * head_dim)
    """Every token of an answer over all tokens of its prompt."""
    wide, asked = _padded(query, answers.lengths)
    keys, seen = _padded(key, prompts.lengths)
    values, _ = _padded(value, prompts.lengths)
    mixed = functional.scaled_dot_product_attention(
        wide,
        keys,
        values,
        attn_mask=seen[:, None, None, :],
        dropout_p=dropout,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return mixed.transpose(1, 2)[asked].flatten(1)


def _padded(x: Tensor, lengths: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """(examples, heads, longest, head_dim), and (examples, longest) bool: which places are used."""
    sizes = torch.tensor(lengths, device=x.device)
    used = torch.arange(max(lengths), device=x.device) < sizes.unsqueeze(1)
    padded = x.new_zeros(*used.shape, *x.shape[1:])
    padded = padded.index_put((used,), x) if x.requires_grad else padded.index_put_((used,), x)
    return padded.transpose(1, 2), used
