"""States that go from one step's pieces of a text to the next one's: truncated backpropagation.

Gradients end where a piece begins; what was read before it does not (Williams and Peng, 1990).
"""

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor


class Carried:
    """The states of a recurrent network after what each track has read so far.

    What a step leaves is not seen before `advance`: a step may be computed in parts, or twice.
    """

    def __init__(self, layers: int, vectors: int, tracks: int, size: int) -> None:
        """Nothing has been read; the last row stays so, and stands for track -1."""
        self._now = torch.zeros(layers, vectors, tracks + 1, size)
        self._next = self._now.clone()

    def begin(self, layer: int, tracks: Tensor) -> Tensor:
        """(vectors, examples, size) of the (examples,) tracks, -1 for those that begin anew."""
        return self._now[layer][:, tracks]

    def end(self, layer: int, tracks: Tensor, states: Tensor) -> None:
        """Keep (vectors, examples, size) of the (examples,) tracks; -1: of none."""
        kept = (tracks >= 0).nonzero().squeeze(1)
        self._next[layer][:, tracks[kept]] = states.detach().float()[:, kept]

    def advance(self) -> None:
        """What was kept is where the next step begins."""
        self._now.copy_(self._next)

    def forget(self) -> None:
        """As if nothing had been read."""
        self._now.zero_()
        self._next.zero_()

    def to(self, device: torch.device) -> "Carried":
        """The same on another device."""
        self._now, self._next = self._now.to(device), self._next.to(device)
        return self

    def state(self) -> Tensor:
        """All of it, for a checkpoint."""
        return self._now

    def restore(self, state: Tensor) -> None:
        """Go on from what `state` gave."""
        self._now.copy_(state)
        self._next.copy_(state)


class Carry(NamedTuple):
    """Of the examples of a batch: the track whose state each begins with, and leaves; -1: none."""

    states: Carried
    begins: tuple[int, ...]
    ends: tuple[int, ...]

    def of(self, first: int, last: int) -> "Carry":
        """Of some of the examples."""
        return Carry(self.states, self.begins[first:last], self.ends[first:last])


@runtime_checkable
class Carrying(Protocol):
    """A network whose forward takes `carry`, a Carry or None."""

    def carried(self, tracks: int) -> Carried:
        """States of so many tracks, of which nothing has been read."""
