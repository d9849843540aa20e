"""An encoder of LSTM layers that read in both directions (Schuster and Paliwal, 1997)."""

from typing import NamedTuple

import torch
from torch import Tensor

from llmosd.architectures.architecture import ForwardBatch, Ops, Weights
from llmosd.architectures.recurrent import Layer, Walk, places_of


class Encoded(NamedTuple):
    """What prompts are to it.

    Attributes:
        outputs: (rows, hidden) of the last layer.
        states: (prompts, 2, hidden) float32 of each layer: the hidden and the cell state it ended
            in, half from the left and half from the right.
    """

    outputs: Tensor
    states: list[Tensor]


class LstmEncoder:
    """Layers whose weights' names begin with "encoder.layers."."""

    def __init__(self, layers: int, weights: Weights, ops: Ops) -> None:
        """Take the weights by name; see Architecture."""
        self._layers = [
            tuple(
                Layer("lstm", weights, ops, f"encoder.layers.{index}.{direction}.")
                for direction in ("ahead", "back")
            )
            for index in range(layers)
        ]

    def read(self, hidden: Tensor, source: ForwardBatch) -> Encoded:
        """Of the prompts' embeddings (rows, hidden), each prompt whole."""
        count, size = len(source.spans), hidden.shape[1] // 2
        walk = Walk(
            torch.arange(count), torch.ones(count, dtype=torch.bool), places_of(source.spans)
        )
        turned = _backwards(source.spans)
        states = []
        for ahead, back in self._layers:
            ends = hidden.new_zeros(2, count, 2, size, dtype=torch.float32)
            one = ahead.forward(hidden, ends[0], walk)
            two = back.forward(hidden[turned], ends[1], walk)[turned]
            hidden = torch.cat([one, two], 1)
            states.append(torch.cat([ends[0], ends[1]], 2))
        return Encoded(hidden, states)


def _backwards(spans: list[tuple[int, int]]) -> Tensor:
    """(rows,) int64: the rows of each span from its last to its first."""
    return torch.cat([torch.arange(first + count - 1, first - 1, -1) for first, count in spans])
