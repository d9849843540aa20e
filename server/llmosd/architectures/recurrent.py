"""Recurrent language models: rnn, gru and lstm.

Elman, 1990; Cho et al., 2014; Hochreiter and Schmidhuber, 1997. Layers have the names and gates of
torch.nn's. Sequences of any lengths run together: the inputs' products over all rows at once, the
states' one place in time after another, over the sequences that have one left.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from llmosd.architectures.architecture import ForwardBatch, Ops, States, Weights
from llmosd.architectures.config import ModelConfig
from llmosd.architectures.head import head_weight


class Recurrent:
    """Embedding, layers, head."""

    def __init__(self, config: ModelConfig, weights: Weights, ops: Ops) -> None:
        """Take the weights by name; see Architecture."""
        self._ops = ops
        embedding = weights("embed_tokens.weight")
        self._table = ops.table(embedding)
        self._layers = [
            Layer(config.architecture, weights, ops, f"layers.{index}.rnn.")
            for index in range(config.num_layers)
        ]
        self._head = ops.weight(head_weight(config, weights, embedding))

    def forward(self, batch: ForwardBatch, cache: States) -> Tensor:
        """Hidden states (rows, hidden_size) of the last layer; `cache` has the next states."""
        x = self._ops.embed(self._table, batch.ids)
        walk = walk_of(batch)
        for layer, states in zip(self._layers, cache.layers, strict=True):
            x = layer.forward(x, states, walk)
        return x

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores (rows, vocab_size) of the next token."""
        return self._ops.linear(hidden, self._head, None)


class Walk(NamedTuple):
    """A batch in time: where states are, who begins, and (rows, sequences) of every place."""

    slots: Tensor
    begins: Tensor
    places: list[tuple[Tensor, Tensor]]


def walk_of(batch: ForwardBatch) -> Walk:
    """Of a step: states are where the first column of the tables says."""
    begins = batch.positions[torch.tensor([first for first, _ in batch.spans])] == 0
    return Walk(batch.tables[:, 0].long(), begins, places_of(batch.spans))


def places_of(spans: list[tuple[int, int]]) -> list[tuple[Tensor, Tensor]]:
    """Rows and sequences of every place in time."""
    starts, counts = np.array(spans, np.int64).T
    places = []
    for place in range(counts.max()):
        going = np.flatnonzero(counts > place)
        rows = torch.from_numpy(starts[going] + place)
        places.append((rows, torch.from_numpy(going)))
    return places


class Layer:
    """One layer of cells."""

    def __init__(self, kind: str, weights: Weights, ops: Ops, prefix: str) -> None:
        """Take the weights whose names begin with `prefix`."""
        self._kind = kind
        self._ops = ops
        self._input = ops.weight(weights(prefix + "weight_ih_l0"))
        self._state = ops.weight(weights(prefix + "weight_hh_l0"))
        self._input_bias = ops.vector(weights(prefix + "bias_ih_l0"))
        self._state_bias = ops.vector(weights(prefix + "bias_hh_l0"))

    def forward(self, x: Tensor, states: Tensor, walk: Walk) -> Tensor:
        """(rows, hidden) of this layer; `states` (slots, vectors, hidden) are moved on."""
        inputs = self._ops.linear(x, self._input, self._input_bias)
        now = states[walk.slots]
        now[walk.begins] = 0.0
        # The same vector where there is only one: copies, and the hidden state is kept last.
        hidden, cell = now[:, 0].to(x.dtype, copy=True), now[:, -1].clone()
        out = x.new_empty(len(x), hidden.shape[1])
        for rows, going in walk.places:
            gates = self._ops.linear(hidden[going], self._state, self._state_bias)
            out[rows] = self._step(inputs[rows], gates, hidden, cell, going)
        now[:, -1] = cell
        now[:, 0] = hidden
        states[walk.slots] = now
        return out

    def _step(
        self, inputs: Tensor, gates: Tensor, hidden: Tensor, cell: Tensor, going: Tensor
    ) -> Tensor:
        """One place in time: the sequences' next hidden states, which replace those before."""
        if self._kind == "lstm":
            new, cell[going] = self._ops.lstm_cell(inputs, gates, cell[going])
        elif self._kind == "gru":
            new = self._ops.gru_cell(inputs, gates, hidden[going])
        else:
            new = self._ops.rnn_cell(inputs, gates)
        hidden[going] = new
        return new
