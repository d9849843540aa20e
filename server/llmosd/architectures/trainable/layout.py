"""Where examples begin and end when they are laid end to end.

Every product of a network runs over all tokens at once, with no padding; only attention has to know
the examples, and gets them in groups of similar length.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

_SHORT = 32
"""Examples up to this many tokens are one group: a further call costs more than padding them."""


@dataclass(frozen=True, slots=True)
class Group:
    """Examples that attention takes as one padded batch.

    Attributes:
        tokens: (members,) int64 places of the examples' tokens, or None where the group is all
            tokens in order.
        slots: (members,) int64 places of the same tokens in (count * length), or None where all
            examples have `length` tokens.
        count: examples.
        length: of the longest.
        seen: (count, 1, 1, length) bool, which slots hold a token; None where all do.
    """

    tokens: Tensor | None
    slots: Tensor | None
    count: int
    length: int
    seen: Tensor | None


class Layout(NamedTuple):
    """Of one batch.

    Attributes:
        positions: (tokens,) int64 places in their examples.
        groups: for attention.
        order: (tokens,) int64: token t is row order[t] of the groups' members end to end; None
            where they are in order.
    """

    positions: Tensor
    groups: tuple[Group, ...]
    order: Tensor | None


@lru_cache(maxsize=16)
def layout_of(lengths: tuple[int, ...], device: torch.device) -> Layout:
    """Lay out examples of so many tokens each, in this order."""
    sizes = torch.tensor(lengths, dtype=torch.int64)
    starts = sizes.cumsum(0) - sizes
    total = int(sizes.sum())
    owner = torch.repeat_interleave(torch.arange(len(lengths)), sizes)
    positions = torch.arange(total) - starts[owner]
    members = _grouped(lengths)
    groups = tuple(
        _group(chosen, sizes, starts, device, whole=len(members) == 1) for chosen in members
    )
    if len(groups) == 1:
        return Layout(positions.to(device), groups, None)
    order = torch.empty(total, dtype=torch.int64)
    order[torch.cat([group.tokens.cpu() for group in groups if group.tokens is not None])] = (
        torch.arange(total)
    )
    return Layout(positions.to(device), groups, order.to(device))


def _grouped(lengths: tuple[int, ...]) -> list[list[int]]:
    """Numbers of the examples of each group: the longest of a group is at most twice the rest.

    A group of all keeps the order of the examples.
    """
    groups: list[list[int]] = []
    longest = 0
    for example in sorted(range(len(lengths)), key=lambda at: -lengths[at]):
        if not groups or (longest > _SHORT and 2 * lengths[example] < longest):
            groups.append([])
            longest = lengths[example]
        groups[-1].append(example)
    return [sorted(group) for group in groups]


def _group(
    chosen: list[int], sizes: Tensor, starts: Tensor, device: torch.device, *, whole: bool
) -> Group:
    own = sizes[chosen]
    length, count = int(own.max()), len(chosen)
    row = torch.repeat_interleave(torch.arange(count), own)
    place = torch.arange(int(own.sum())) - (own.cumsum(0) - own)[row]
    tokens = None if whole else (starts[chosen][row] + place).to(device)
    if int(own.min()) == length:
        return Group(tokens, None, count, length, None)
    seen = torch.arange(length) < own.unsqueeze(1)
    slots = (row * length + place).to(device)
    return Group(tokens, slots, count, length, seen[:, None, None, :].to(device))
