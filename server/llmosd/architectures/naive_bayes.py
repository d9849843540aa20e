"""Multinomial naive Bayes (McCallum and Nigam, 1998).

A label's score is log p(label) + the sum over the text's tokens of log p(token | label), so softmax
of the scores is the probability of each label, given the text and that tokens are independent.
"""

import torch
from torch import Tensor

from llmosd.architectures.architecture import ForwardBatch, Ops, States, Weights
from llmosd.architectures.config import ModelConfig


class NaiveBayes:
    """Two tables. A batch's spans are whole texts."""

    def __init__(self, config: ModelConfig, weights: Weights, ops: Ops) -> None:
        """Take the weights by name; see Architecture."""
        del config
        self._prior = ops.vector(weights("class_log_prior"))
        self._tokens = ops.vector(weights("feature_log_prob"))

    def forward(self, batch: ForwardBatch, cache: States) -> Tensor:
        """(rows, labels): a text's scores are in its last row."""
        del cache
        own = self._tokens[batch.ids].double()
        out = torch.zeros_like(own)
        for start, count in batch.spans:
            out[start + count - 1] = self._prior + own[start : start + count].sum(0)
        return out.float()

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores (rows, labels): `hidden` is what they are."""
        return hidden
