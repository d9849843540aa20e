"""A recurrent language model as a policy: sequences drawn from it, and other ends of begun ones.

Token by token, all sequences side by side; a step's cost does not grow with what was read.
"""

from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from llmosd.architectures.trainable.recurrent import Recurrent

_States = list[Any]


class Drawn(NamedTuple):
    """Sequences that were drawn.

    Attributes:
        ids: (sequences, longest) int64; what comes after a sequence's end means nothing.
        lengths: (sequences,) int64, the end token included.
        states: after each token but the last, for `Policy.rest`; states[t] has read t + 1 of them.
    """

    ids: Tensor
    lengths: Tensor
    states: list[_States]

    def read(self, begin: int) -> tuple[Tensor, Tensor, tuple[int, ...]]:
        """Ids that a network reads, what is asked of each, end to end, and the lengths."""
        before = torch.cat([torch.full_like(self.ids[:, :1], begin), self.ids[:, :-1]], 1)
        lengths = tuple(self.lengths.tolist())
        return flat(before, self.lengths), flat(self.ids, self.lengths), lengths


def flat(ids: Tensor, lengths: Tensor) -> Tensor:
    """(tokens,) of (sequences, longest), end to end."""
    return ids[torch.arange(ids.shape[1], device=ids.device) < lengths.unsqueeze(1)]


class Policy:
    """Draws from the whole distribution, at temperature 1."""

    def __init__(self, network: Recurrent, begin: int, end: int, longest: int) -> None:
        """Sequences begin after the token `begin`, and end with `end`, or at `longest` tokens."""
        self._network = network
        self._begin, self._end, self.longest = begin, end, longest

    @torch.no_grad()
    def draw(self, count: int, generator: Generator, *, keep: bool = False) -> Drawn:
        """`count` sequences; with `keep`, the states on the way."""
        device = self._network.embedding.device
        last = torch.full((count,), self._begin, device=device)
        states: _States = [None] * len(self._network.layers)
        hidden, states = self._advance(last, states)
        ids, kept = [], []
        for place in range(self.longest):
            last = self._pick(hidden, generator)
            ids.append(last)
            if place < self.longest - 1:
                hidden, states = self._advance(last, states)
                if keep:
                    kept.append(states)
        whole = torch.stack(ids, 1)
        return Drawn(whole, self._lengths(whole), kept)

    @torch.no_grad()
    def rest(
        self, drawn: Drawn, place: int, rows: Tensor, copies: int, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """Other endings: `rows` of what was drawn, kept up to and with token `place`.

        Returns:
            ids (rows * copies, longest) and their lengths, a row's copies side by side.
        """
        index = rows.repeat_interleave(copies)
        begun = drawn.ids[index, : place + 1]
        states = [_selected(each, index) for each in drawn.states[place]]
        hidden = _top(states[-1])
        ids = [begun]
        for at in range(place + 1, self.longest):
            last = self._pick(hidden, generator)
            ids.append(last.unsqueeze(1))
            if at < self.longest - 1:
                hidden, states = self._advance(last, states)
        whole = torch.cat(ids, 1)
        return whole, self._lengths(whole)

    def _advance(self, ids: Tensor, states: _States) -> tuple[Tensor, _States]:
        """(sequences, hidden) after one more token each."""
        x = self._network.embed_tokens(ids).unsqueeze(0)
        after = []
        for layer, state in zip(self._network.layers, states, strict=True):
            cells: Any = layer.rnn
            x, new = cells(x, state)
            after.append(new)
        return x[0], after

    def _pick(self, hidden: Tensor, generator: Generator) -> Tensor:
        """By exponential races: the first of arrivals at rates p is drawn with chance p."""
        chances = (hidden @ self._network.head.T).float().softmax(1)
        return chances.div_(torch.empty_like(chances).exponential_(generator=generator)).argmax(1)

    def _lengths(self, ids: Tensor) -> Tensor:
        ended = ids == self._end
        first = ended.int().argmax(1) + 1
        return torch.where(ended.any(1), first, ids.shape[1])


def _top(state: Any) -> Tensor:
    """(sequences, hidden) of a layer's state."""
    hidden: Tensor = (state[0] if isinstance(state, tuple) else state)[0]
    return hidden


def _selected(state: Any, index: Tensor) -> Any:
    if isinstance(state, tuple):
        return tuple(each[:, index] for each in state)
    return state[:, index]
