"""Kim's convolutional network (Kim, 2014): filters over a text, and the most each one found."""

import torch
from torch import Tensor

from llmosd.architectures.architecture import ForwardBatch, Ops, States, Weights
from llmosd.architectures.config import ModelConfig
from llmosd.architectures.families.cnn import WIDTHS


class CNN:
    """Embedding, filters, maximum over time, scores. A batch's spans are whole texts."""

    def __init__(self, config: ModelConfig, weights: Weights, ops: Ops) -> None:
        """Take the weights by name; see Architecture."""
        del config
        self._ops = ops
        self._table = ops.table(weights("embed_tokens.weight"))
        # A filter over a window is a product with the window laid out as one row.
        self._filters = [
            (
                width,
                ops.weight(weights(f"convs.{width}.weight").flatten(1)),
                ops.vector(weights(f"convs.{width}.bias")),
            )
            for width in WIDTHS
        ]
        self._score = ops.weight(weights("score.weight")), ops.vector(weights("score.bias"))

    def forward(self, batch: ForwardBatch, cache: States) -> Tensor:
        """(rows, 3 * hidden_size): what a text's filters found is in its last row."""
        del cache
        x = self._ops.embed(self._table, batch.ids)
        out = x.new_zeros(len(x), len(WIDTHS) * x.shape[1])
        for start, count in batch.spans:
            out[start + count - 1] = self._features(x[start : start + count])
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores (rows, labels)."""
        return self._ops.linear(hidden, *self._score)

    def _features(self, text: Tensor) -> Tensor:
        """(3 * hidden_size,) of one text's (tokens, hidden_size)."""
        missing = max(WIDTHS) - len(text)
        if missing > 0:
            text = torch.cat([text, text.new_zeros(missing, text.shape[1])])
        found = []
        for width, weight, bias in self._filters:
            windows = text.unfold(0, width, 1).flatten(1)
            found.append(self._ops.linear(windows, weight, bias).relu().amax(0))
        return torch.cat(found)
